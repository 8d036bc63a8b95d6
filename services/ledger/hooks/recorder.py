"""One stored delivery → facts in the ledger, or a reason why not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from contracts import catalogue, ijson, topics
from contracts.event import OURS, Event, Origin, format_time
from contracts.ijson import Json
from contracts.problem import NotFound, Problem
from services.kit import logs
from services.ledger import admission
from services.ledger.appender import Appenders, Outcome, Submission
from services.ledger.body import Recorded
from services.ledger.hooks import adapter, kafka_records
from services.ledger.hooks.adapter import CannotMap, Fact, Mapped, natural_id
from services.ledger.hooks.connections import Connections
from services.ledger.hooks.delivery import Delivery, Settled
from services.ledger.hooks.kinds import KINDS
from services.ledger.store import Reader

LONGEST_REASON = 2000
_log = logs.get(__name__)


class Recorder:
    """Maps deliveries and appends what they say. Doing it twice changes nothing."""

    def __init__(self, reader: Reader, appender_for: Appenders, connections: Connections) -> None:
        self._reader = reader
        self._appender_for = appender_for
        self._connections = connections

    async def record(self, delivery: Delivery) -> Settled:
        """Map and append one delivery. Raises a `Problem` when no ledger can take it now."""
        mapped = self._adapt(delivery)
        answers = await self._append(delivery, mapped.facts, mapped.principal)
        positions = [answer for answer in answers if isinstance(answer, int)]
        complaints = [*mapped.unread, *(a for a in answers if isinstance(a, str))]
        if not complaints and mapped.loss is None:
            return Settled(delivery, "mapped" if mapped.facts else "unmapped", positions)
        reason = _reason(complaints, mapped.loss)
        await self._append(delivery, [_quarantined(delivery, reason)])
        return Settled(delivery, "quarantined" if complaints else "mapped", positions, reason)

    def _adapt(self, delivery: Delivery) -> Mapped:
        """Run the adapter; whatever it raises becomes a reason, never a delivery lost."""
        connection = self._connections[delivery.connection]
        kind = KINDS[connection.adapter]
        try:
            return kind.adapter(delivery.headers, delivery.raw, connection.scope)
        except CannotMap as error:
            return Mapped(unread=(str(error),))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not hold up the others
            _log.error("hook.adapter_failed", delivery=delivery.id, exc_info=error)
            return Mapped(unread=(f"the adapter failed: {type(error).__name__}",))

    async def _append(
        self, delivery: Delivery, facts: Sequence[Fact], principal: str | None = None
    ) -> list[int | str]:
        """Append facts; for each the position where it stands, or why it does not."""
        origin = _origin(delivery, principal or _principal(delivery))
        answers: dict[int, int | str] = {}
        submissions: dict[int, Submission] = {}
        for index, fact in enumerate(facts):
            try:
                submissions[index] = Submission(_event(fact), origin)
            except (Problem, ijson.NotIJson) as error:
                answers[index] = f"{fact.event.get('type')}: {error.detail}"
        outcomes = await self._appender_for(delivery.ledger).append_all(list(submissions.values()))
        for index, outcome in zip(submissions, outcomes, strict=True):
            answers[index] = await self._judge(delivery, facts[index], outcome, origin.principal)
        return [answers[index] for index in range(len(facts))]

    async def _judge(
        self, delivery: Delivery, fact: Fact, outcome: Outcome, principal: str
    ) -> int | str:
        """Return the position of an accepted fact; the same fact sent by another way is one, too.

        The ledger compares whole bodies, with the digest of the raw bytes in them; two hooks
        deliver one fact in different bytes. So a taken id is looked up and the facts compared.
        """
        if outcome.receipt is not None:
            return outcome.receipt.position
        problem = outcome.problem or Problem()
        position = problem.members.get("position")
        if outcome.kind == "id_conflict" and isinstance(position, int):
            with contextlib.suppress(NotFound):
                recorded = await self._reader.at(delivery.ledger, position)
                if _is_recorded(fact, principal, recorded):
                    return position
            return f"conflict: {fact.event['type']} is recorded at {position} with other content"
        return f"{fact.event['type']}: {problem.detail}"


def _event(fact: Fact) -> Event:
    """Read what an adapter made as strictly as what anybody sends."""
    event = catalogue.parse(ijson.check(fact.event))
    refused = admission.refusal(event)
    if refused is not None:
        raise refused
    return event


def _reason(complaints: Sequence[str], loss: str | None) -> str:
    said = "; ".join([*complaints, *([loss] if loss else [])])
    return said.encode("utf-8", "replace").decode().replace("\x00", "")[:LONGEST_REASON]


def _is_recorded(fact: Fact, principal: str, recorded: Recorded) -> bool:
    """Say whether a fact is the recorded one, by the fact's own measure.

    Only this principal's own facts count: nobody else can take an id first and so silence it.
    """
    if recorded.origin["principal"] != principal:
        return False
    if recorded.redacted:  # nothing is left to compare with, and what was removed is not kept anew
        return True
    if fact.agree is None:
        return ijson.dumps(fact.event) == recorded.event
    theirs, ours = _data(ijson.loads(recorded.event)), _data(fact.event)
    return all(theirs.get(name) == ours.get(name) for name in fact.agree)


def _data(event: Any) -> dict[str, Any]:
    data = event.get("data")
    return data if isinstance(data, dict) else {}


def _principal(delivery: Delivery) -> str:
    if delivery.connection.startswith(kafka_records.PREFIX):
        return f"kafka:{topics.INGEST}"  # as the ingest itself would have said
    return f"hook:{delivery.connection}"


def _origin(delivery: Delivery, principal: str) -> Origin:
    return Origin(
        principal=principal,
        assurance=delivery.assurance,
        connection=delivery.connection,
        raw_sha256=delivery.raw_sha256,
    )


def _quarantined(delivery: Delivery, reason: str) -> Fact:
    """Say in the ledger that a delivery waits in the quarantine, once, by its first reason."""
    data: dict[str, Json] = {
        "connection": delivery.connection,
        "raw_sha256": delivery.raw_sha256,
        "reason": reason,
        "adapter_version": adapter.VERSION,
    }
    event: dict[str, Json] = {
        "specversion": "1.0",
        "id": natural_id(delivery.connection, "quarantined", delivery.key),
        "source": f"/hooks/{delivery.connection}",
        "type": f"{OURS}ingest.quarantined.v1",
        "time": format_time(delivery.received_at),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Fact(event, agree=frozenset())
