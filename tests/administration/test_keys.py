"""Keys are shown once, end when they should, and are replaced without a gap."""

from datetime import timedelta

import pytest

from control_plane.administration.values import KeyTerms
from control_plane.errors import Conflict, InvalidKey, KeyNotFound, ModelGroupNotAllowed, TeamNotFound, Unprocessable
from control_plane.ids import KeyId, TeamId, new_id
from control_plane.tenants.keys import KeyKind, hash_key
from tests.support.services import ACME, ADMIN, DomainServices


async def test_a_key_is_stored_as_a_hash_and_stands_for_its_team(services: DomainServices) -> None:
    await services.team()
    issued = await services.administration.keys.create(ADMIN, ACME, KeyTerms("app", "ForAcme"))
    principal = await services.keys.authenticate(issued.secret)
    assert (principal.team_id, principal.key_id, principal.key_model_group) == (ACME, issued.key.id, "ForAcme")
    first, second = await services.administration.keys.list(ADMIN, ACME)
    assert (first.key.name, second.key.name) == (None, "app")
    assert second.key.secret_hash == hash_key(issued.secret)
    assert issued.secret not in repr(second)


async def test_a_key_is_refused_from_the_moment_it_expires(services: DomainServices) -> None:
    await services.team()
    ends = services.clock() + timedelta(hours=1)
    issued = await services.administration.keys.create(ADMIN, ACME, KeyTerms(expires_at=ends))
    services.clock.move(timedelta(minutes=59, seconds=59))
    await services.keys.authenticate(issued.secret)
    services.clock.move(timedelta(seconds=1))
    with pytest.raises(InvalidKey):
        await services.keys.authenticate(issued.secret)


async def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(services: DomainServices) -> None:
    made = await services.team()
    await services.principal(made)
    key_id = KeyId(made.issued.key.id)
    revoked = await services.administration.keys.revoke(ADMIN, ACME, key_id)
    with pytest.raises(InvalidKey):
        await services.principal(made)
    services.clock.move(timedelta(days=1))
    again = await services.administration.keys.revoke(ADMIN, ACME, key_id)
    assert again.key.revoked_at == revoked.key.revoked_at


async def test_a_rotated_key_works_through_its_grace_beside_the_new_one(services: DomainServices) -> None:
    await services.team()
    keys = services.administration.keys
    ends = services.clock() + timedelta(days=9)
    old = await keys.create(ADMIN, ACME, KeyTerms("app", "ForAcme", ends))
    new = await keys.rotate(ADMIN, ACME, KeyId(old.key.id), grace=timedelta(minutes=5))
    assert (new.key.name, new.key.default_model_group, new.key.expires_at) == ("app", "ForAcme", ends)
    assert new.secret != old.secret
    services.clock.move(timedelta(minutes=5) - timedelta(seconds=1))
    for secret in (old.secret, new.secret):
        assert (await services.keys.authenticate(secret)).team_id == ACME
    services.clock.move(timedelta(seconds=1))
    with pytest.raises(InvalidKey):
        await services.keys.authenticate(old.secret)
    await services.keys.authenticate(new.secret)
    with pytest.raises(Conflict):
        await keys.rotate(ADMIN, ACME, KeyId(old.key.id), grace=timedelta(0))


async def test_a_grace_never_lengthens_the_life_of_a_key(services: DomainServices) -> None:
    made = await services.team()
    keys = services.administration.keys
    await keys.rotate(ADMIN, ACME, KeyId(made.issued.key.id), grace=timedelta(minutes=1))
    await keys.rotate(ADMIN, ACME, KeyId(made.issued.key.id), grace=timedelta(days=1))
    services.clock.move(timedelta(minutes=1))
    with pytest.raises(InvalidKey):
        await services.principal(made)


async def test_a_key_belongs_to_one_team(services: DomainServices) -> None:
    made = await services.team()
    await services.team("other")
    keys = services.administration.keys
    for team_id, key_id in ((TeamId("other"), KeyId(made.issued.key.id)), (ACME, KeyId(new_id()))):
        with pytest.raises(KeyNotFound):
            await keys.revoke(ADMIN, team_id, key_id)
        with pytest.raises(KeyNotFound):
            await keys.rotate(ADMIN, team_id, key_id, grace=timedelta(0))
    await services.principal(made)


async def test_a_key_needs_a_team_and_a_default_it_may_use(services: DomainServices) -> None:
    await services.team()
    keys = services.administration.keys
    with pytest.raises(ModelGroupNotAllowed):
        await keys.create(ADMIN, ACME, KeyTerms(default_model_group="Secret"))
    for name in ("nobody", "\x00"):
        with pytest.raises(TeamNotFound):
            await keys.create(ADMIN, TeamId(name), KeyTerms())
        with pytest.raises(TeamNotFound):
            await keys.list(ADMIN, TeamId(name))
    assert len(await keys.list(ADMIN, ACME)) == 1


# Keys for web pages.

APP, SHOP = "https://app.example.com", "http://localhost:5173"


async def test_a_publishable_key_says_what_it_is_and_keeps_its_origins_when_rotated(services: DomainServices) -> None:
    await services.team()
    keys = services.administration.keys
    issued = await keys.create(ADMIN, ACME, KeyTerms(kind=KeyKind.PUBLISHABLE, origins=[SHOP, APP, APP]))
    assert issued.secret.startswith("pk-")
    principal = await services.keys.authenticate(issued.secret)
    assert (principal.is_publishable, principal.origins) == (True, frozenset({APP, SHOP}))
    rotated = await keys.rotate(ADMIN, ACME, KeyId(issued.key.id), grace=timedelta(0))
    assert rotated.secret.startswith("pk-")
    assert (await services.keys.authenticate(rotated.secret)).origins == {APP, SHOP}
    assert [(view.key.kind, tuple(view.origins)) for view in await keys.list(ADMIN, ACME)] == [
        ("secret", ()),
        ("publishable", (SHOP, APP)),
        ("publishable", (SHOP, APP)),
    ]


async def test_an_origin_counts_while_a_key_works_from_it(services: DomainServices) -> None:
    await services.team()
    await services.team("other")
    keys = services.administration.keys
    ends = services.clock() + timedelta(hours=1)
    first = await keys.create(ADMIN, ACME, KeyTerms(kind=KeyKind.PUBLISHABLE, origins=[APP], expires_at=ends))
    second = await keys.create(ADMIN, TeamId("other"), KeyTerms(origins=[APP]))
    assert await services.keys.is_registered(APP)
    assert not await services.keys.is_registered(SHOP)
    view = await keys.set_origins(ADMIN, ACME, KeyId(first.key.id), [SHOP])
    assert view.origins == [SHOP]
    assert (await services.keys.authenticate(first.secret)).origins == {SHOP}
    assert await services.keys.is_registered(SHOP)
    await keys.revoke(ADMIN, TeamId("other"), KeyId(second.key.id))
    assert not await services.keys.is_registered(APP)
    services.clock.move(timedelta(hours=1))
    services.keys.forget()
    assert not await services.keys.is_registered(SHOP)


async def test_a_publishable_key_needs_an_origin(services: DomainServices) -> None:
    await services.team()
    keys = services.administration.keys
    with pytest.raises(Unprocessable):
        await keys.create(ADMIN, ACME, KeyTerms(kind=KeyKind.PUBLISHABLE))
    issued = await keys.create(ADMIN, ACME, KeyTerms(kind=KeyKind.PUBLISHABLE, origins=[APP]))
    with pytest.raises(Unprocessable):
        await keys.set_origins(ADMIN, ACME, KeyId(issued.key.id), [])
    await services.team("other")
    with pytest.raises(KeyNotFound):
        await keys.set_origins(ADMIN, TeamId("other"), KeyId(issued.key.id), [SHOP])
    assert (await services.keys.authenticate(issued.secret)).origins == {APP}


async def test_a_team_without_history_is_deleted_with_the_origins_of_its_keys(services: DomainServices) -> None:
    await services.team()
    await services.administration.keys.create(ADMIN, ACME, KeyTerms(kind=KeyKind.PUBLISHABLE, origins=[APP]))
    await services.administration.delete_team(ADMIN, ACME)
    services.keys.forget()
    assert not await services.keys.is_registered(APP)
