"""Gatekeepers that judge by themselves, on the real ledger, and what happens there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from contracts.decision import Decision
from contracts.event import Event, RecordedEvent, format_time
from contracts.payloads.model import Payload
from contracts.payloads.plan import ReleaseCandidateCreated, ReleasePlanned, RoleAssigned
from contracts.payloads.readiness import ApprovalDecided
from services.gatekeeper.activating import activate
from services.gatekeeper.deciding import Decider, Recorded, envelope
from services.gatekeeper.folding import DECISION
from services.gatekeeper.store import Store
from services.gatekeeper.timers import Timers
from services.gatekeeper.watching import Watcher
from services.kit import clock, database
from services.kit.identity import Key, Keyring, Principal, digest
from services.kit.remote import Client, HttpFeed, HttpLedger
from services.kit.service import background
from services.kit.settings import Shared
from services.ledger import service as ledger_service
from services.ledger.settings import LedgerSettings

GATE, ROSA = "deploy:production", Principal("acme:rosa", "A3")
EXPIRES = timedelta(hours=1)
TEXT = f"""
apiVersion: release-ledger/v1
kind: ReleasePolicy
metadata: {{name: short, version: 1, owner: me}}
defaults: {{exclude: []}}
gates:
- id: {GATE}
  stages:
  - id: sign-off
    rules:
    - {{id: boss, type: approvals, count: 1, roles: [boss], expires_after: 1h}}
"""
SCOPES = frozenset({"role:write", "read", "event:write", "decision:make", "act-as"})
TABLES = ("cursor", "gate_timer", "gate_interest")


@dataclass
class Gatekeeper:
    """One gatekeeper, as its own process would hold it together."""

    decider: Decider
    store: Store
    watcher: Watcher
    timers: Timers

    @contextlib.asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """Let it follow and judge by itself."""
        tasks = {"watch": self.watcher.run, "timers": self.timers.run}
        async with background("gatekeeper", **tasks):
            yield


class Watch:
    """A ledger with a policy that lets approvals expire, and gatekeepers of it."""

    def __init__(self, url: str, app: Any, ring: Keyring, stack: contextlib.AsyncExitStack) -> None:
        self.url = url
        self._app, self._ring, self._stack = app, ring, stack
        self.ledger = self.client("people")

    def client(self, name: str) -> HttpLedger:
        """Return the ledger as a caller of that name reaches it."""
        secret, ends = secrets.token_hex(16), clock.now() + timedelta(days=1)
        self._ring.add(Key(name, f"service:{name}", digest(secret), SCOPES, ends))
        client = Client("http://ledger", secret, self._app)
        self._stack.push_async_callback(client.close)
        return HttpLedger(client)

    def gatekeeper(self, name: str, lease: float = 10) -> Gatekeeper:
        ledger = self.client(name)
        engine = database.engine(self.url, name, role="rlg_gatekeeper")
        self._stack.push_async_callback(engine.dispose)
        decider, store = Decider(ledger, "main", ["short"]), Store(engine, "main", lease)
        return Gatekeeper(decider, store, Watcher(store, HttpFeed(ledger)), Timers(store, decider))

    async def tell(self, *events: Event, person: Principal | None = None) -> int:
        """Append events, all at once; return the last position."""
        return (await self.ledger.append("main", events, None, person))[-1].position

    async def planned(self, *releases: str) -> None:
        events = []
        for release in releases:
            it = manifest(release)
            plan = ReleasePlanned(release_id=release, name="Pay", service_ids=["pay"],
                                  release_type="minor", owner="acme:hal")  # fmt: skip
            candidate = ReleaseCandidateCreated(
                release_id=release, version="1", manifest_digest=it, artifacts=[it]
            )
            events += [said(plan), said(candidate)]
        await self.tell(*events)

    async def approved(self, expires: dict[str, datetime]) -> None:
        """Approve releases so long ago that each approval expires at the given instant."""
        votes = [said(approval(release), at - EXPIRES) for release, at in expires.items()]
        await self.tell(*votes, person=ROSA)

    async def decisions(self, release: str) -> list[RecordedEvent]:
        """Return the decisions of a release, the oldest first."""
        page = await self.ledger.history("main", f"release:{release}")
        return [event for event in page.events if event.type == DECISION]

    async def head(self) -> int:
        return (await self.ledger.page("main", 0, limit=1)).head

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all that the gatekeepers keep."""
        sql = await asyncpg.connect(self.url)
        found = {name: await sql.fetch(f"TABLE gatekeeper.{name}") for name in TABLES}
        await sql.close()
        return {name: sorted(tuple(row) for row in rows) for name, rows in found.items()}

    async def timer(self, release: str) -> asyncpg.Record | None:
        sql = await asyncpg.connect(self.url)
        query = "SELECT * FROM gatekeeper.gate_timer WHERE release = $1"
        found = await sql.fetchrow(query, release)
        await sql.close()
        return found

    async def empty(self) -> None:
        sql = await asyncpg.connect(self.url)
        await sql.execute("TRUNCATE " + ", ".join(f"gatekeeper.{name}" for name in TABLES))
        await sql.close()


@contextlib.asynccontextmanager
async def watching(database_url: str) -> AsyncIterator[Watch]:
    """Run a ledger, with the policy active and Rosa the boss."""
    ring, shared = Keyring(), Shared.model_validate({"DATABASE_URL": database_url})
    ledger = ledger_service.build(shared, LedgerSettings(), ring)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(ledger.run())
        watch = Watch(database_url, ledger.app, ring, stack)
        await activate(Decider(watch.ledger, "main", ["short"]), {"short": TEXT})
        await watch.tell(said(RoleAssigned(scope="*", role="boss", principal=ROSA.id)))
        yield watch


def said(payload: Payload, at: datetime | None = None) -> Event:
    """Return an event of a payload about the release it names, that happened at `at`."""
    subject = f"release:{payload.release_id}" if hasattr(payload, "release_id") else "role:boss"
    return envelope(payload, subject, None if at is None else format_time(at))


def manifest(release: str) -> str:
    """Return the candidate of a release: each has its own."""
    return "sha256:" + hashlib.sha256(release.encode()).hexdigest()


def approval(release: str, decision: Any = "approved") -> ApprovalDecided:
    return ApprovalDecided(
        approval_id="a",
        release_id=release,
        gate=GATE,
        principal=ROSA.id,
        decision=decision,
        roles=["boss"],
        target_digest=manifest(release),
    )


def verdicts(events: list[RecordedEvent]) -> list[str]:
    return [Decision.model_validate(event.data["decision"]).decision for event in events]


def opens(recorded: Recorded) -> datetime:
    """Return when time alone changes a decision."""
    assert recorded.decision.next_change_at is not None
    return datetime.fromisoformat(recorded.decision.next_change_at)


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not await what():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)
