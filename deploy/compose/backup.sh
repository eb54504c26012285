#!/usr/bin/env bash
# backup.sh [FILE]: the whole database in one file, while the service runs. Secrets are not in it: keep STATE_DIR/secrets safe, too.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:-$STATE_DIR/backups/$(date -u +%Y%m%dT%H%M%SZ).dump}"

step "Back up to $file"
need_docker
need_state
[[ ! -e "$file" ]] || fail "$file is there already."
(umask 077 && mkdir -p "$(dirname "$file")")
trap 'rm -f "$file.part"' EXIT
(umask 077 && compose exec -T postgres pg_dump --username=control_plane --format=custom control_plane >"$file.part") ||
  fail "Postgres could not be read."
compose exec -T postgres pg_restore --list <"$file.part" >/dev/null || fail "what was written cannot be read back."
mv "$file.part" "$file"
say "$(du -h "$file" | cut -f 1) in $file"
