#!/usr/bin/env bash
# backup.sh [FILE]: the whole database in one file, while the service runs. Secrets are not in it: keep those safe, too.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:-$STATE_DIR/backups/$(date -u +%Y%m%dT%H%M%SZ).dump}"

step "Back up to $file"
need_cluster
[[ ! -e "$file" ]] || fail "$file is there already."
(umask 077 && mkdir -p "$(dirname "$file")")
with_tools
# shellcheck disable=SC2016 # expanded in the pod
(umask 077 && tools 'pg_dump --dbname="$url" --format=custom' >"$file.part") || fail "Postgres could not be read."
tools 'pg_restore --list' <"$file.part" >/dev/null || fail "what was written cannot be read back."
mv "$file.part" "$file"
say "$(du -h "$file" | cut -f 1) in $file"
