#!/usr/bin/env bash
# restore.sh FILE: puts a backup in the place of the database, which stays there under another name.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:?restore.sh FILE: which backup?}"
now="$(date -u +%Y%m%dt%H%M%Sz)"

step "Read $file"
need_state
[[ -r "$file" ]] || fail "$file cannot be read."
load_database
read_backup "$file" "$now"

step "Verify it"
in_backup() {
  with_settings "$PREFIX/current" CONTROL_PLANE_DATABASE_URL_FILE= CONTROL_PLANE_DATABASE_URL="$restored_url" "$@"
}
in_backup migrate
in_backup ledger verify ||
  fail "the ledger of the backup does not add up: see above. Nothing was changed."

step "Outage"
consent "From here on customers are refused until the replicas run again, seconds to minutes. Jobs made after the backup are gone."

step "Stop the replicas"
start_all() { for replica in $(replicas); do restart "$replica" && wait_ready "$replica"; done; }
undo=start_all
for replica in $(replicas); do stop_one "$replica"; done

step "Put it in place"
exchange

step "Start the replicas"
put_back_and_start() { put_back && start_all; }
undo=put_back_and_start
start_all || fail "the replicas did not become ready on it."
say "Restored. What was there before is $aside; drop it when you are sure."
