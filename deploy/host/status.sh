#!/usr/bin/env bash
# What runs, and whether all of it is well: exits with 1 if not.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Status"
need_state
well=0
for replica in $(replicas); do
  if answers "$(url_of "$replica")"; then
    health=ready
  elif is_up "$replica"; then
    health="not ready"
    well=1
  else
    health="not there"
    well=1
  fi
  printf 'replica %-4s %-10s %s\n' "$replica" "$health" "$(cat "$PREFIX/run-$replica" 2>/dev/null)"
done
with_settings "$PREFIX/current" doctor || well=1
say "API: http://$BIND:$PORT"
exit "$well"
