#!/usr/bin/env bash
# What runs, and whether all of it is well: exits with 1 if not.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Status"
need_docker
need_state
well=0
for service in $(compose config --services | sort); do
  [[ "$service" == migrate ]] && continue
  health="$(health_of "$service")"
  [[ -z "$health" && "$service" =~ ^(prometheus|grafana)$ ]] && continue # not asked for
  printf '%-18s %-10s %s\n' "$service" "${health:-not there}" "$(image_of "$service")"
  case "$health" in healthy | running) ;; *) well=1 ;; esac
done
say "API: $(site_url)"
exit "$well"
