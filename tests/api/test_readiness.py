"""What `/health/ready` promises a balancer: whoever is sent here can be served."""

import pytest
from sqlalchemy import text

from tests.support.server import Server, Team


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_server_whose_disk_is_full_is_not_ready(server: Server, team: Team) -> None:
    """Its heartbeat updates a row in its place, and needs no space."""
    async with server.client() as balancer:
        assert (await balancer.get("/health/ready")).status_code == 200
        async with server.services.db.transaction() as tx:
            pages = await tx.scalar(text("PRAGMA page_count"))
            await tx.execute(text(f"PRAGMA max_page_count = {pages}"))
        body = {"job_type": "test", "metadata": {"filler": "x" * 4000}}
        answers = [await team.http.post("/api/jobs/create", json=body) for _ in range(10)]
        assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (503, "database_unavailable")
        ready = await balancer.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "full")
        assert "Retry-After" in ready.headers
