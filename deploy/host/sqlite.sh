# A backup of a SQLite database: made beside the writer, page by page; put in its place as a file.
# shellcheck shell=bash

database_file() { database_url | sed 's,^sqlite:///,,'; }

write_backup() {
  (umask 077 && "$PREFIX/current/venv/bin/python" -IS - "$(database_file)" "$1" <<'PYTHON'
import sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as running, sqlite3.connect(sys.argv[2]) as copy:
    running.backup(copy, pages=1000)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
PYTHON
  )
}

read_backup() {
  restored="$(database_file).restored"
  restored_url="sqlite:///$restored"
  aside="$(database_file).before-$2"
  rm -f "$restored"*
  (umask 077 && cp "$1" "$restored")
}

exchange() {
  local part
  for part in "" -wal -shm; do
    [[ ! -e "$(database_file)$part" ]] || mv "$(database_file)$part" "$aside$part"
    [[ ! -e "$restored$part" ]] || mv "$restored$part" "$(database_file)$part"
  done
}

put_back() {
  local part
  for part in "" -wal -shm; do
    [[ ! -e "$(database_file)$part" ]] || mv "$(database_file)$part" "$restored$part"
    [[ ! -e "$aside$part" ]] || mv "$aside$part" "$(database_file)$part"
  done
}
