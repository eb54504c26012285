# Replicas as systemd units: a socket that they share, and a service for each. As root for the machine, else for the user.
# shellcheck shell=bash

if ((EUID == 0)); then
  readonly UNITS="${UNITS:-/etc/systemd/system}"
  ctl() { systemctl "$@"; }
  journal() { journalctl "$@"; }
else
  readonly UNITS="${UNITS:-${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user}"
  ctl() { systemctl --user "$@"; }
  journal() { journalctl --user "$@"; }
fi

unit() { say "control-plane@$1.service"; }

write_units() {
  install -d "$UNITS"
  cat >"$UNITS/control-plane.socket" <<UNIT
# Written by $here/up.sh.
[Unit]
Description=Where customers of the LLM control plane connect

[Socket]
ListenStream=$BIND:$PORT
Backlog=1024
# All replicas take from one queue; the socket stays while they are replaced.
Service=$(unit 1)

[Install]
WantedBy=sockets.target
UNIT
  cat >"$UNITS/control-plane@.service" <<UNIT
# Written by $here/up.sh.
[Unit]
Description=LLM control plane, replica %i
Requires=control-plane.socket
After=control-plane.socket network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Environment=PREFIX=$PREFIX
ExecStart=$here/run.sh replica %i
ExecReload=/bin/kill -HUP \$MAINPID
Sockets=control-plane.socket
WorkingDirectory=$PREFIX
Restart=always
RestartSec=1
TimeoutStopSec=90
LimitNOFILE=65536
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full
ReadWritePaths=$PREFIX

[Install]
WantedBy=multi-user.target default.target
UNIT
}

install_units() {
  write_units
  ctl daemon-reload
  ctl enable --quiet control-plane.socket
  for replica in $(replicas); do ctl enable --quiet "$(unit "$replica")"; done
  ctl start control-plane.socket
}

is_up() { [[ "$(ctl show --property SubState --value "$(unit "$1")")" == running ]]; }

# Puts replica N on the deployment in force; whether it gets ready is for wait_ready to say.
restart() { ctl restart "$(unit "$1")" || true; }

stop_one() { ctl stop "$(unit "$1")"; }

stop_all() {
  ctl disable --now --quiet control-plane.socket
  for replica in $(replicas); do ctl disable --now --quiet "$(unit "$replica")"; done
}

last_words() { journal --no-pager --lines 20 --unit "$(unit "$1")"; }
