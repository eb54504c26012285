"""Fixtures of the credits' tests."""

import pytest

from control_plane.storage.database import Database
from tests.rooms import Rooms


@pytest.fixture
def rooms(db: Database) -> Rooms:
    return Rooms.on(db)
