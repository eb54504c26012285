# What the scripts of this folder share. They are called by make, or by hand from anywhere.
# shellcheck shell=bash

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

export PREFIX="${PREFIX:-$root/var/host}"

# What the last deployment was told holds for every command after it: one that knew fewer replicas would leave some running.
if [[ -f "$PREFIX/place" ]]; then
  while IFS='=' read -r name value; do
    [[ -n "${!name:-}" ]] || printf -v "$name" '%s' "$value"
  done <"$PREFIX/place"
fi
readonly BIND="${BIND:-127.0.0.1}"
readonly PORT="${PORT:-8003}"
readonly REPLICAS="${REPLICAS:-2}"
readonly WAIT_S="${WAIT_S:-120}"
readonly SECRETS="$PREFIX/secrets"

say() { printf '%s\n' "$*"; }

step() {
  current_step="$*"
  printf '\n== %s\n' "$*"
}

# Says why, and takes back what was begun: `undo` is the command for that, where there is something to take back.
fail() {
  trap - ERR
  printf '\nStopped at "%s": %s\n' "${current_step:-start}" "$*" >&2
  if [[ -z "${undo:-}" ]] || $undo >&2; then
    printf 'What ran before still runs.\n' >&2
  fi
  exit 1
}

# What customers would notice is said beforehand: asks whether it is meant, unless YES=1 says so.
consent() {
  say "$*"
  [[ -z "${YES:-}" ]] || return 0
  [[ -t 0 ]] || fail "nobody can be asked here; give YES=1 if that is meant. Nothing was changed."
  local answer
  read -r -p "Go on? [y/N] " answer
  [[ "$answer" == [yY]* ]] || fail "it is not meant. Nothing was changed."
}

trap '((BASH_SUBSHELL)) || fail "a command failed (line $LINENO); its own words are above."' ERR

need_state() {
  [[ -L "$PREFIX/current" ]] || fail "$PREFIX/current is not there: nothing was deployed from here, or PREFIX is another."
}

database_url() { cat "$SECRETS/database_url"; }

is_sqlite() { [[ "$(database_url)" == sqlite:* ]]; }

# SQLite belongs to one process.
replicas() { if is_sqlite; then say 1; else seq "$REPLICAS"; fi; }

# Runs a command of the product as a replica of this deployment would be run.
with_settings() {
  local deployment="$1"
  shift
  DEPLOYMENT="$deployment" "$here/run.sh" "$@"
}

url_of() { say "http://127.0.0.1:$((PORT + $1))"; }

answers() { "$PREFIX/current/venv/bin/python" -IS -c '
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(sys.argv[1], timeout=3)' "$1/health/ready" 2>/dev/null; }

wait_ready() {
  local until=$((SECONDS + WAIT_S))
  while ((SECONDS < until)); do
    answers "$(url_of "$1")" && return 0
    is_up "$1" || break
    sleep 0.3
  done
  say "replica $1 is not ready. Its last words:" >&2
  last_words "$1" >&2 || true
  return 1
}

load_database() {
  if is_sqlite; then source "$here/sqlite.sh"; else source "$here/postgres.sh"; fi
}

if [[ "${INIT:=$([[ -d /run/systemd/system ]] && say systemd || say supervisor)}" == systemd ]]; then
  source "$here/systemd.sh"
else
  source "$here/supervisor.sh"
fi
