"""The way on after a restore that lost the end of the log.

A tree cannot shrink: the old log is closed and kept, and a new one begins over the events that are
left, under an origin and a key of its own. That is only done where all that is left is, leaf by
leaf, what the closed tree has: everything else is tampering and no restore. `key.rotated`'s sister
`gap.declared` says in the log which positions were lost, and gives the closed tree's checkpoint.

Each step can be taken again: the plan lies beside the keys until the last one is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path

from services.kit.settings import SettingsError
from services.kit.tlog.note import Ed25519Signer
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger import epoch, own
from services.ledger.sealing import keys, rotation, sealer
from services.ledger.sealing.leaves import Tampered, leaves_of
from services.ledger.sealing.shelf import Readable
from services.ledger.sealing.site import Site
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import State

TYPE = "org.releaseledger.gap.declared.v1"
SOURCE = "/ledger/gaps"
_PLAN = "gap.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was lost, and what comes after. `first` to `last`: the lost positions."""

    first: int
    last: int
    closed: str
    former: str
    origin: str
    reason: str
    begun: bool = False
    """The new epoch has begun."""

    @property
    def folder(self) -> str:
        """How the closed log's folder ends."""
        return f".closed-{self.last}"


async def declare(site: Site, reason: str, progress: Callable[[int], None]) -> Plan:
    """Close the log and begin another over what is left; return what was declared.

    Raises `SettingsError` when nothing is lost, or when what is left is not what was sealed.
    """
    plan = _planned(site.keys)
    if plan is None:
        plan = await _plan(site, reason, progress)
        _keep(site.keys, plan)
    _close(site, plan)
    if not plan.begun:
        await epoch.begin(site.url, site.ledger, plan.reason)
        plan = Plan(**asdict(plan) | {"begun": True})
        _keep(site.keys, plan)
    data = {name: getattr(plan, name) for name in ("first", "last", "closed", "origin", "reason")}
    event = {
        "type": TYPE, "id": f"gap-{plan.first}-{plan.last}-{plan.origin}",
        "data": data | {"ledger": site.ledger, "operator": own.person()},
    }  # fmt: skip
    async with own.operating(site.url, site.ledger) as appender:
        await own.record(appender, "gaps", event, own.operator())
    (site.keys / _PLAN).unlink()
    return plan


async def _plan(site: Site, reason: str, progress: Callable[[int], None]) -> Plan:
    own_keys = keys.sealer(site.keys)
    state = await asyncio.to_thread(site.states.load, own_keys.origin)
    if state is None:
        raise SettingsError(f"nothing is known of the log {own_keys.origin}: its state is lost too")
    async with aclosing(Source(site.url, site.ledger, own_keys.naming)) as source:
        try:
            head = await _same(source, state, site.shelf, progress)
        except Tampered as error:
            raise SettingsError(f"this is no old copy but a changed one: {error}") from None
    if head >= state.size:
        raise SettingsError(f"nothing is lost: {head} events are here and {state.size} are sealed")
    base, _, number = own_keys.origin.rpartition("/gap-")
    origin = f"{base or own_keys.origin}/gap-{int(number) + 1 if base else 1}"
    return Plan(head + 1, state.size, state.checkpoint.decode(), own_keys.origin, origin, reason)


async def _same(
    source: Source, state: State, shelf: Readable, progress: Callable[[int], None]
) -> int:
    """Compare every event with the closed tree; return the last one's position."""
    read, head = TileReader(state.size, state.root, shelf.read), 0
    while rows := await source.rows(head, WIDTH):
        made = await asyncio.to_thread(leaves_of, rows, await source.names(rows), head)
        sealed = read.entries(head // WIDTH)[: len(made)] if head < state.size else []
        for position, (ours, theirs) in enumerate(zip(made, sealed, strict=False), head + 1):
            if ours != theirs:
                raise Tampered(position, "the log has another event there than was sealed")
        head = rows[-1].position
        progress(len(rows))
    return head


def _close(site: Site, plan: Plan) -> None:
    """Put the old log aside and begin the new one; whatever is done already is passed over."""
    if keys.sealer(site.keys).origin == plan.former:
        site.shelf.set_aside(plan.folder)
        coming = site.keys / f"{keys.SEALER}.next"
        keys.replace(coming, Ed25519Signer.generate(plan.origin).skey.encode(), keys.PRIVATE)
        rotation.turn(site.keys, "sealer", plan.last + 1)
    present = keys.sealer(site.keys)
    if site.states.load(present.origin) is None:
        sealer.begin(site.states, site.shelf, present)


def _planned(folder: Path) -> Plan | None:
    file = folder / _PLAN
    return Plan(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def _keep(folder: Path, plan: Plan) -> None:
    keys.replace(folder / _PLAN, json.dumps(asdict(plan)).encode())
