#!/usr/bin/env bash
# run.sh [NAME=VALUE…] COMMAND…: a command of the product with a deployment's settings (DEPLOYMENT, else the one in force),
# and with nothing that the shell happens to have set. `run.sh replica N` serves as replica N: on its own port, and on the
# socket that all of them share.
set -euo pipefail

: "${PREFIX:?}"
deployment="${DEPLOYMENT:-$(readlink -f "$PREFIX/current")}"

for name in "${!CONTROL_PLANE_@}"; do unset "$name"; done
# Values are taken as they are, as systemd and Docker do it: nothing in them is evaluated.
while IFS= read -r line; do
  [[ "$line" != *=* || "$line" == \#* ]] || export "${line?}"
done <"$deployment/settings"
while [[ "${1:-}" == *=* ]]; do
  export "${1?}"
  shift
done

if [[ "${1:-}" == replica ]]; then
  export CONTROL_PLANE_HOST=127.0.0.1 CONTROL_PLANE_PORT="$((CONTROL_PLANE_PORT + $2))"
  if [[ -z "${LISTEN_FDS:-}" ]]; then # from the supervisor, which hands the socket over as standard input
    exec 3<&0 </dev/null
    export LISTEN_FDS=1
  fi
  export LISTEN_PID=$$
  set -- serve
fi
exec "$deployment/venv/bin/control-plane" "$@"
