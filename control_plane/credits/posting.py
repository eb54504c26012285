"""Posts movements of credits: to the balance, the grants and the ledger, in the transaction of their cause."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from control_plane.credits import events_store, grants_store, store
from control_plane.credits.chain import entry_hash
from control_plane.credits.events_store import LOW_BALANCE
from control_plane.credits.grants import Terms, left
from control_plane.credits.rules import EntryKind, Limit, Movement
from control_plane.credits.store import MAX_CREDITS
from control_plane.credits.values import Balance, EntryContext, Post
from control_plane.errors import Conflict, ControlPlaneError, InsufficientCredits, TeamNotFound
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Tx

FOREVER = Terms()

Posts = Mapping[TeamId, Sequence[Post]]

log = logging.getLogger(__name__)


async def post(
    tx: Tx, team_id: TeamId, movements: Sequence[Movement], context: EntryContext, terms: Terms = FOREVER
) -> Balance:
    """Moves credits and writes the entries, if the balance allows it: one statement decides and moves.

    The movements happen together or not at all; there is at least one. What is given becomes a grant of these `terms`,
    what is charged or taken back is taken from the grants in their turn.
    Raises: InsufficientCredits, Conflict, TeamNotFound; AlreadyExists for a second movement of a kind for one `ref`.
    """
    balance = await _move_one(tx, team_id, Post(movements, context))
    gained = left(balance.remaining) - left(balance.before(movements).remaining)
    given = sum(movement.available for movement in movements if movement.is_giving)
    if given:
        await grants_store.add(tx, team_id, given, max(0, gained), terms, context.now)
    elif gained < 0:
        await grants_store.take(tx, {team_id: -gained})
    return balance


async def post_each(tx: Tx, posts: Posts) -> Mapping[TeamId, Sequence[Balance | ControlPlaneError]]:
    """Posts of many teams, none of which adds credits: the balance after each, or why not.

    The result is that of single posts in each team's order; but a balance is moved once for all of its team's, if it
    allows that. Raises: TeamNotFound; AlreadyExists, and then none has happened.
    """
    moved = await _move(tx, posts)
    taken: dict[TeamId, int] = {}
    results: dict[TeamId, Sequence[Balance | ControlPlaneError]] = {}
    for team_id, balances in moved.items():
        if not isinstance(balances, ControlPlaneError):
            results[team_id] = balances
            before = balances[0].before(posts[team_id][0].movements)
            taken[team_id] = left(before.remaining) - left(balances[-1].remaining)
        elif len(posts[team_id]) == 1:
            results[team_id] = [balances]
        else:
            alone = [await post_each(tx, {team_id: [each]}) for each in posts[team_id]]
            results[team_id] = [result for each in alone for result in each[team_id]]
    await grants_store.take(tx, {team_id: amount for team_id, amount in taken.items() if amount > 0})
    return results


async def expire(tx: Tx, team_id: TeamId, balance: Balance, now: datetime) -> Balance:
    """Removes the rest of the team's expired grants, as far as it is available; held credits stay until their job is
    closed. The balance is locked. Returns the new balance.
    """
    for grant in await grants_store.list_expired(tx, team_id, now):
        lost = min(grant.remaining, balance.available)
        if lost <= 0:
            break
        context = EntryContext(f"{grant.id}:{grant.remaining}", now, "expiry", None)
        balance = await _move_one(tx, team_id, Post([Movement(EntryKind.EXPIRY, available=-lost)], context))
        await grants_store.set_remaining(tx, {grant.id: grant.remaining - lost})
    return balance


async def _move_one(tx: Tx, team_id: TeamId, post: Post) -> Balance:
    moved = (await _move(tx, {team_id: [post]}))[team_id]
    if isinstance(moved, ControlPlaneError):
        raise moved
    return moved[0]


async def _move(tx: Tx, posts: Posts) -> Mapping[TeamId, Sequence[Balance] | ControlPlaneError]:
    """Balances, entries and events of low balances; not the grants. Where each team stands after each of its posts, or why
    its balance does not allow all of them together. Raises: TeamNotFound, AlreadyExists.
    """
    changes = {team_id: _change(team_id, theirs) for team_id, theirs in posts.items()}
    by_limits: defaultdict[frozenset[Limit], list[TeamId]] = defaultdict(list)
    for team_id in sorted(posts):
        by_limits[_limits(posts[team_id])].append(team_id)
    rows: dict[TeamId, Any] = {}
    for limits, teams in by_limits.items():
        rows |= await store.change_balances(tx, limits, [changes[team_id] for team_id in teams])
    results: dict[TeamId, Sequence[Balance] | ControlPlaneError] = {}
    if refused := [team_id for team_id in posts if team_id not in rows]:
        found = await store.find_balances(tx, refused)
        if len(found) < len(refused):
            raise TeamNotFound
        results |= {each: _refusal(_limits(posts[each]), changes[each], found[each]) for each in refused}
    moved = {team_id: posts[team_id] for team_id in rows}
    if moved:
        before = {
            team_id: Balance(row.allocated, row.used, row.available, row.held).before(_movements(posts[team_id]))
            for team_id, row in rows.items()
        }
        numbers = {team_id: row.entries - changes[team_id]["entries"] for team_id, row in rows.items()}
        await _write(tx, moved, before, numbers)
        for team_id, row in rows.items():
            balance, balances = before[team_id], []
            for post in posts[team_id]:
                was, balance = balance, balance.moved(post.movements)
                balances.append(balance)
                await _note_low(tx, team_id, was, balance, row.low_balance_threshold, post.context.now)
            results[team_id] = balances
    return results


def _movements(posts: Sequence[Post]) -> Sequence[Movement]:
    return [movement for post in posts for movement in post.movements]


def _limits(posts: Sequence[Post]) -> frozenset[Limit]:
    return frozenset(movement.limit for movement in _movements(posts))


def _change(team_id: TeamId, posts: Sequence[Post]) -> Mapping[str, Any]:
    movements = _movements(posts)
    return {
        "team": team_id,
        "allocated": sum(movement.allocated for movement in movements),
        "used": sum(movement.used for movement in movements),
        "available": sum(movement.available for movement in movements),
        "held": sum(movement.held for movement in movements),
        "entries": len(movements),
    }


async def _write(tx: Tx, posts: Posts, before: Mapping[TeamId, Balance], numbers: Mapping[TeamId, int]) -> None:
    """Writes each team's entries behind the one with its number, each chained to the one before."""
    hashes = await store.last_hashes(tx, numbers)
    entries = []
    for team_id, theirs in posts.items():
        previous, number, balance = hashes[team_id], numbers[team_id], before[team_id]
        for context, movement in ((post.context, movement) for post in theirs for movement in post.movements):
            number, balance = number + 1, balance.moved([movement])
            entry = {
                "id": context.entry_id or new_id(),
                "team_id": team_id,
                "number": number,
                "kind": movement.kind.value,
                "ref": context.ref,
                "available_delta": movement.available,
                "held_delta": movement.held,
                "available_after": balance.available,
                "held_after": balance.held,
                "reason": context.reason,
                "actor": context.actor,
                "created_at": context.now,
            }
            previous = entry_hash(previous, entry)
            entries.append(entry | {"hash": previous})
    await store.add_entries(tx, entries)


async def _note_low(
    tx: Tx, team_id: TeamId, before: Balance, balance: Balance, threshold: int | None, now: datetime
) -> None:
    if threshold is not None and balance.remaining < threshold <= before.remaining:
        await events_store.add(tx, team_id, LOW_BALANCE, balance.remaining, threshold, now)
        log.warning(LOW_BALANCE, extra={"team": team_id, "remaining": balance.remaining, "threshold": threshold})


def _refusal(limits: AbstractSet[Limit], change: Mapping[str, Any], balance: Balance) -> ControlPlaneError:
    """Why the balance did not allow the movements."""
    if Limit.AVAILABLE in limits:
        return InsufficientCredits(needed=-change["available"], available=balance.available)
    if Limit.USED in limits:
        return Conflict(
            f"The team has used {balance.used} credits; more cannot be refunded.", credits_used=balance.used
        )
    return Conflict(
        f"A team can be given {MAX_CREDITS} credits in all; it has been given {balance.allocated}.",
        credits_allocated=balance.allocated,
    )
