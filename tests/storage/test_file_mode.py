"""Who may read the file of an SQLite database: it holds customers' metadata and hashes of keys."""

import stat
from pathlib import Path

from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate


async def test_a_new_database_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "new.db"
    database = Database(f"sqlite:///{file}")
    await migrate(database)
    try:
        for each in file.parent.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    finally:
        await database.aclose()
