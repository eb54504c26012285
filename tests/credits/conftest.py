"""Fixtures of the credits' tests."""

import pytest

from control_plane.storage.database import Database
from tests.support.services import DomainServices


@pytest.fixture
def services(db: Database) -> DomainServices:
    return DomainServices.on(db)
