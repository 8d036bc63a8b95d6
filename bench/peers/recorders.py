"""eventsourcing (PyPI): its PostgreSQL recorders, by psycopg, 32 threads on a pool of 32.

`insert_events` of the application recorder is what `Application.save` ends in, without its mapper:
by default under an EXCLUSIVE table lock, with its database functions in one call. The DCB recorder
stores tags in a table beside the events and checks an append condition under the same lock.
Promises: an aggregate's versions are unique (a violated one is an error); notification ids in the
order of commits (default) or of a sequence (functions). It does not: gapless positions, one event
in several histories (DCB: found by tag, not numbered), a duplicate's first answer.
"""

from __future__ import annotations

import uuid
from typing import Any

from bench.cells import Bench, Figures, Measure, MissingPeer
from bench.driving import tidy
from bench.peers.load import CALLERS, Fact, Send, Sender, count_is, in_threads, senders
from bench.servers import name_of

_NAMES = uuid.UUID("6f1c1d6e-94d5-4f0c-8c6b-0f6a5d0c7a11")


def _modules() -> tuple[Any, Any, Any, Any]:
    try:
        from eventsourcing import persistence, postgres  # noqa: PLC0415 - it may be missing
        from eventsourcing.dcb import api, postgres_tt  # noqa: PLC0415
    except ImportError as error:
        raise MissingPeer(f"eventsourcing is not installed ({error}); try `make bench`") from None
    return persistence, postgres, api, postgres_tt


def recorder(*, functions: bool) -> Measure:
    """Return the cell of the application recorder."""

    def opened(store: Any) -> tuple[Any, Send]:
        persistence, postgres, _, _ = _modules()
        made = postgres.PostgresApplicationRecorder(store)
        streams: dict[str, uuid.UUID] = {}

        def send(sender: Sender, fact: Fact, _: bool) -> int:  # noqa: FBT001 - every version is expected
            version = sender.places.get(fact.release, 0) + 1
            stream = streams.setdefault(fact.release, uuid.uuid5(_NAMES, fact.release))
            made.insert_events([persistence.StoredEvent(stream, version, fact.type, fact.body)])
            return version

        return made, send

    return _cell(opened, "stored_events", functions=functions)


def dcb() -> Measure:
    """Return the cell of the DCB recorder: four tags, a condition where the load expects."""

    def opened(store: Any) -> tuple[Any, Send]:
        _, _, api, postgres_tt = _modules()
        made = postgres_tt.PostgresDCBRecorderTT(store)

        def send(sender: Sender, fact: Fact, expecting: bool) -> int:  # noqa: FBT001 - as all peers
            condition = None
            if expecting:
                query = api.DCBQuery([api.DCBQueryItem(tags=[fact.release])])
                condition = api.DCBAppendCondition(query, after=sender.places[fact.release])
            event = api.DCBEvent(type=fact.type, data=fact.body, tags=list(fact.subjects))
            return int(made.append([event], condition))

        return made, send

    return _cell(opened, "dcb_events_tt_main", functions=False)


def _cell(opened: Any, table: str, *, functions: bool) -> Measure:
    async def measure(bench: Bench, seconds: float) -> Figures:
        _, postgres, _, _ = _modules()
        some = senders(bench)
        tidy()
        async with (
            bench.servers.copy(template="template0") as url,
            bench.counters(url) as sources,
        ):
            store = postgres.PostgresDatastore(
                name_of(url), str(bench.servers.socket_dir), 5432, "postgres", "",
                pool_size=CALLERS, enable_db_functions=functions,
            )  # fmt: skip
            with store:
                store.pool.wait()  # all connections are open before the clock starts
                made, send = opened(store)
                made.create_table()
                figures = await in_threads(send, some, seconds, sources)
            await count_is(url, table, sum(one.sent for one in some))
        return figures

    return measure


CELLS: dict[str, Measure] = {
    "eventsourcing_32": recorder(functions=False),
    "eventsourcing_functions_32": recorder(functions=True),
    "eventsourcing_dcb_32": dcb(),
}
