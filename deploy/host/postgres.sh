# A backup of a Postgres database, by Postgres's own programs; put in its place by exchanging two names.
# PG_BIN: the folder of pg_dump, pg_restore and psql, with a / at its end, if it is not on the PATH.
# shellcheck shell=bash

PG_BIN="${PG_BIN:-}"
for tool in pg_dump pg_restore psql; do
  command -v "$PG_BIN$tool" >/dev/null || fail "$tool is not installed; it comes with Postgres's client programs (PG_BIN=…)."
done

# The database's address as those programs want it, or that of another database of the same server.
address() {
  "$PREFIX/current/venv/bin/python" -IS - "$(database_url)" "${1:-}" <<'PYTHON'
import sys
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1].replace("+psycopg", "", 1))
print(url._replace(path=f"/{sys.argv[2]}").geturl() if sys.argv[2] else url.geturl())
PYTHON
}

database_name() { address | sed -E 's,^[^/]*//[^/]*/([^?]*).*$,\1,'; }

sql() { "${PG_BIN}psql" --quiet --no-psqlrc --set ON_ERROR_STOP=1 --dbname="$(address postgres)" --command "$1"; }

write_backup() {
  (umask 077 && "${PG_BIN}pg_dump" --format=custom --no-owner --dbname="$(address)" --file="$1") &&
    "${PG_BIN}pg_restore" --list "$1" >/dev/null
}

read_backup() {
  name="$(database_name)"
  restored="${name}_restored"
  restored_url="$(address "$restored")"
  aside="${name}_before_$2"
  sql "DROP DATABASE IF EXISTS \"$restored\""
  sql "CREATE DATABASE \"$restored\""
  "${PG_BIN}pg_restore" --dbname="$restored_url" --exit-on-error --no-owner "$1" ||
    fail "the backup cannot be read whole. Nothing was changed."
}

# Both in one transaction. A session that is left would keep its database's name.
rename() {
  sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('$name', '$restored', '$aside') AND pid <> pg_backend_pid()" >/dev/null
  sql "ALTER DATABASE \"$1\" RENAME TO \"$2\"; ALTER DATABASE \"$3\" RENAME TO \"$4\""
}

exchange() { rename "$name" "$aside" "$restored" "$name"; }

put_back() { rename "$name" "$restored" "$aside" "$name"; }
