"""The way on after a restore that lost the end of the log.

A tree cannot shrink: the old log is closed and kept, and a new one begins over the events that are
left, under an origin and a key of its own. That is only done where all that is left is, leaf by
leaf, what the closed tree has: everything else is tampering and no restore. The event
`gap.declared` says in the log which positions were lost, and gives the closed tree's checkpoint.

First everything is checked, then it is recorded, and the log is closed last. From the new epoch on
each step can be taken again: the plan lies beside the keys until the last one is done.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from contracts import catalogue
from contracts.problem import Problem
from services.kit.settings import SettingsError
from services.kit.tlog.note import Ed25519Signer
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger import epoch, own
from services.ledger.sealing import keys, rotation, sealer
from services.ledger.sealing.leaves import Tampered, leaves_of
from services.ledger.sealing.rotation import GAP, GAPS
from services.ledger.sealing.shelf import CHECKPOINT, Readable
from services.ledger.sealing.site import Site, settled
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import State
from services.ledger.sealing.where import shelf_at

_GAP_N = re.compile(r"/gap-([1-9][0-9]*)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was lost, and what comes after. `first` to `last`: the lost positions."""

    first: int
    last: int
    closed: str
    former: str
    origin: str
    reason: str
    operator: str
    earlier: list[tuple[int, str]]
    """Size and checkpoint of logs that were closed before, whose declaration is lost with the
    end."""

    def events(self, ledger: str) -> Iterator[dict[str, Any]]:
        """Give what is recorded: the gap, and again those that the lost end had declared."""
        for number, (last, closed) in enumerate([(self.last, self.closed), *self.earlier]):
            data = {
                "ledger": ledger, "first": self.first, "last": last, "closed": closed,
                "origin": self.origin, "reason": self.reason, "operator": self.operator,
            }  # fmt: skip
            yield {"type": GAP, "id": f"{self.origin}#{number}", "data": data}


async def declare(
    site: Site, reason: str, progress: Callable[[int], None], *, everything: bool = False
) -> Plan:
    """Close the log and begin another over what is left; return what was declared.

    `everything`: not one event is left, and that is meant. Raises `SettingsError` when nothing is
    lost, or when what is left is not what was sealed.
    """
    file = site.keys / keys.GAP
    if file.exists():
        plan = Plan(**json.loads(file.read_text(encoding="utf-8")))
    else:
        plan = await _plan(site, reason, progress)
        if plan.first == 1 and not everything:
            raise SettingsError("not one event is left. If this is the ledger: --everything")
        begun = await epoch.begin(site.url, site.ledger, plan.reason)
        if begun.head != plan.first - 1:
            raise SettingsError(
                f"the ledger has {begun.head} events now and had {plan.first - 1}: stop whatever "
                "appends to it. Nothing was declared"
            )
        keys.replace(file, json.dumps(asdict(plan)).encode())
    await _record(site, plan)
    _close(site, plan)
    file.unlink()
    return plan


async def _plan(site: Site, reason: str, progress: Callable[[int], None]) -> Plan:
    state, own_keys = await asyncio.to_thread(settled, site), keys.sealer(site.keys)
    async with aclosing(Source(site.url, site.ledger, own_keys.naming)) as source:
        try:
            head = await _same(source, state, site.shelf, progress)
        except Tampered as error:
            raise SettingsError(f"this is no old copy but a changed one: {error}") from None
        if head >= state.size:
            said = f"{head} events are here and {state.size} are sealed"
            raise SettingsError(f"nothing is lost: {said}")
        told = await source.log_history()
    declared = [json.loads(row.body)["event"]["data"]["closed"] for row in told
                if (row.type, row.source) == (GAP, GAPS) and row.body is not None]  # fmt: skip
    before = _GAP_N.search(own_keys.origin)
    number = int(before[1]) if before else 0
    plan = Plan(
        head + 1, state.size, state.checkpoint.decode(), own_keys.origin,
        f"{_GAP_N.sub('', own_keys.origin)}/gap-{number + 1}", reason, own.person(),
        await asyncio.to_thread(_earlier, site, number, declared),
    )  # fmt: skip
    for event in plan.events(site.ledger):  # what cannot be recorded is said before anything is
        try:
            catalogue.parse({"specversion": "1.0", "source": GAPS, **event})
        except Problem as error:
            raise SettingsError(f"this cannot be recorded: {error}") from None
    return plan


def _earlier(site: Site, number: int, declared: list[str]) -> list[tuple[int, str]]:
    """Return size and checkpoint of the closed logs that nothing declares any more."""
    found = []
    for each in range(1, number + 1):
        content = (closed_shelf(site, each).read(CHECKPOINT) or b"").decode()
        lost = bool(content) and all(_text(content) != _text(other) for other in declared)
        if lost:
            found.append((int(content.split("\n")[1]), content))
    return found


def _text(note: str) -> str:
    """Return what is signed of a note: witnesses may have added to the rest."""
    return note.partition("\n\n")[0]


def closed_shelf(site: Site, number: int) -> Readable:
    """Return where the log lies that the gap of a number has closed."""
    return shelf_at(f"{site.shelf}.closed-{number}")


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


async def _record(site: Site, plan: Plan) -> None:
    """Record the gap behind what is left. Again, after a crash, it is there already."""
    naming = keys.sealer(site.keys).naming
    async with (
        aclosing(Source(site.url, site.ledger, naming)) as source,
        own.operating(site.url, site.ledger) as appender,
    ):
        for position, event in enumerate(plan.events(site.ledger), plan.first):
            found, head = None, await source.head()
            if head == position - 1:
                found = await own.record(appender, "gaps", event, own.operator())
            elif head >= position:
                (row,) = await source.at([position])
                if row.body is not None and json.loads(row.body)["event"]["id"] == event["id"]:
                    found = position if row.source == GAPS else None
            if found != position:
                raise SettingsError(
                    f"the gap begins at {plan.first} and the ledger has {head} events: it is not "
                    "the copy that was looked at. Restore that one again, and give this again"
                )


def _close(site: Site, plan: Plan) -> None:
    """Put the old log aside and begin the new one; whatever is done already is passed over."""
    if keys.sealer(site.keys).origin == plan.former:
        number = plan.origin.rpartition("-")[2]
        site.shelf.set_aside(f".closed-{number}")
        coming = keys.coming(site.keys, keys.SEALER)
        if not coming.exists() or keys.signer(coming).name != plan.origin:
            keys.replace(coming, Ed25519Signer.generate(plan.origin).skey.encode(), keys.PRIVATE)
        rotation.turn(site.keys, "sealer", plan.last + 1)
    present = keys.sealer(site.keys)
    if site.states.load(present.origin) is None:
        sealer.begin(site.states, site.shelf, present)
