#!/usr/bin/env bash
# Stops everything. Data stays: the database, and PREFIX. up.sh goes on with them.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Stop"
need_state
stop_all
rm -f "$PREFIX"/run-*
say "Stopped. Secrets, settings and, if it is SQLite, the database are in $PREFIX."
