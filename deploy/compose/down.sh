#!/usr/bin/env bash
# Stops everything. Data stays: the volumes, and STATE_DIR. up.sh goes on with them.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Stop"
need_docker
need_state
COMPOSE_PROFILES=observability compose down --remove-orphans
say "Stopped. The database is in the volume control-plane_postgres, secrets and settings are in $STATE_DIR."
