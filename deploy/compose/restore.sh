#!/usr/bin/env bash
# restore.sh FILE: puts a backup in the place of the database, which stays there under another name.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:?restore.sh FILE: which backup?}"
aside="control_plane_before_$(date -u +%Y%m%dt%H%M%Sz)"
sql() { compose exec -T postgres psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username=control_plane --dbname=postgres --command "$1"; }

step "Read $file"
need_docker
need_state
[[ -r "$file" ]] || fail "$file cannot be read."
compose up --detach --no-deps postgres redis
wait_healthy postgres || fail "Postgres does not come up."
sql "DROP DATABASE IF EXISTS control_plane_restored"
sql "CREATE DATABASE control_plane_restored"
compose exec -T postgres pg_restore --username=control_plane --dbname=control_plane_restored --exit-on-error --no-owner <"$file" ||
  fail "the backup cannot be read whole. Nothing was changed."

step "Outage"
consent "From here on customers are refused until the replicas run again, seconds to minutes. Jobs made after the backup are gone."

step "Stop the replicas"
start_replicas() { compose start "${REPLICAS[@]}"; }
undo=start_replicas
compose stop "${REPLICAS[@]}"

step "Put it in place"
# Both in one transaction.
sql "ALTER DATABASE control_plane RENAME TO $aside; ALTER DATABASE control_plane_restored RENAME TO control_plane"
put_back() {
  sql "ALTER DATABASE control_plane RENAME TO control_plane_restored; ALTER DATABASE $aside RENAME TO control_plane" && start_replicas
}
undo=put_back
compose run --rm --no-deps -T migrate
compose run --rm --no-deps -T migrate ledger verify || fail "the ledger of the backup does not add up: see above."

step "Start the replicas"
start_replicas
for replica in "${REPLICAS[@]}"; do
  wait_healthy "$replica" || fail "$replica did not become ready."
done
say "Restored. What was there before is the database $aside; drop it when you are sure."
