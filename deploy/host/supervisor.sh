# Replicas under supervisord, where there is no systemd. It holds the socket that they share.
# shellcheck shell=bash

readonly SUPERVISOR="$PREFIX/supervisor"

ctl() { "$SUPERVISOR/bin/supervisorctl" --configuration "$PREFIX/supervisord.conf" "$@"; }

install_units() {
  if [[ ! -f "$SUPERVISOR/.complete" ]] || ! cmp --silent "$root/deploy/requirements-host.lock" "$SUPERVISOR/.complete"; then
    "${PYTHON:-python3}" -m venv "$SUPERVISOR"
    "$SUPERVISOR/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes -r "$root/deploy/requirements-host.lock"
    cp "$root/deploy/requirements-host.lock" "$SUPERVISOR/.complete"
  fi
  install -d -m 0700 "$PREFIX/run" "$PREFIX/log"
  cat >"$PREFIX/supervisord.conf.next" <<CONF
; Written by $here/up.sh.
[unix_http_server]
file=$PREFIX/run/supervisor.sock
chmod=0700

[supervisord]
pidfile=$PREFIX/run/supervisord.pid
logfile=$PREFIX/log/supervisord.log
childlogdir=$PREFIX/log
nodaemon=false

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://$PREFIX/run/supervisor.sock

[fcgi-program:control-plane]
socket=tcp://$BIND:$PORT
socket_backlog=1024
process_name=%(process_num)d
numprocs=$(replicas | wc -l)
numprocs_start=1
command=$here/run.sh replica %(process_num)d
environment=PREFIX="$PREFIX"
directory=$PREFIX
startsecs=1
startretries=1000000
autorestart=true
stopsignal=TERM
stopwaitsecs=90
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile=$PREFIX/log/replica-%(process_num)d.log
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=5
CONF
  if ! cmp --silent "$PREFIX/supervisord.conf.next" "$PREFIX/supervisord.conf"; then
    mv "$PREFIX/supervisord.conf.next" "$PREFIX/supervisord.conf"
    ! ctl pid >/dev/null 2>&1 || ctl update >/dev/null
  fi
  rm -f "$PREFIX/supervisord.conf.next"
}

is_up() { [[ "$(ctl status "control-plane:$1" 2>/dev/null)" =~ (RUNNING|STARTING) ]]; }

# Puts replica N on the deployment in force; whether it gets ready is for wait_ready to say.
restart() {
  if ! ctl pid >/dev/null 2>&1; then
    "$SUPERVISOR/bin/supervisord" --configuration "$PREFIX/supervisord.conf"
    return
  fi
  ctl restart "control-plane:$1" >/dev/null || true
}

stop_one() { ctl stop "control-plane:$1" >/dev/null; }

stop_all() {
  local until=$((SECONDS + 120))
  ctl pid >/dev/null 2>&1 || return 0
  ctl shutdown >/dev/null
  while [[ -e "$PREFIX/run/supervisord.pid" ]] && ((SECONDS < until)); do sleep 0.2; done
}

last_words() { tail -n 20 "$PREFIX/log/replica-$1.log"; }
