#!/usr/bin/env bash
# backup.sh [FILE]: the whole database in one file, while the service runs. Secrets are not in it: keep PREFIX/secrets safe, too.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:-$PREFIX/backups/$(date -u +%Y%m%dT%H%M%SZ).dump}"

step "Back up to $file"
need_state
[[ ! -e "$file" ]] || fail "$file is there already."
(umask 077 && mkdir -p "$(dirname "$file")")
trap 'rm -f "$file.part"' EXIT
load_database
write_backup "$file.part" || fail "the database could not be read."
mv "$file.part" "$file"
say "$(du -h "$file" | cut -f 1) in $file"
