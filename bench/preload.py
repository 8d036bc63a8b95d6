"""Fill a prepared ledger fast: set-based SQL that writes the same rows as the appender would.

A *cycle* is every event of the load once more, under a new id, with a salt, a commitment and body
bytes of its own. A *generation* is sixteen cycles about releases, runs and artifacts of its own, as
a ledger sees new ones all the time; the environments go on for ever. Positions, versions and bodies
hold together; only the clock is one instant a generation. Durability is off while it runs, and all
is flushed at its end.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys

from contracts import catalogue, leaf
from services.kit import database
from services.ledger import body

CYCLES = 16
_FAST = {
    "synchronous_commit": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "work_mem": "128MB",
}
_SETUP = """
CREATE TEMP TABLE base AS
SELECT e.position AS p, e.event_uuid::text AS id, e.source, e.type, e.occurred_at, e.principal,
       e.assurance, convert_from(b.body, 'UTF8') AS body
  FROM ledger.event AS e JOIN ledger.event_body AS b USING (ledger_id, position);
CREATE TEMP TABLE named AS
SELECT e.position AS p, named.n, s.key, s.subject_id AS id, named.version AS rank,
       count(*) OVER (PARTITION BY s.key) AS per_cycle, s.key NOT LIKE 'environment:%' AS renewed
  FROM ledger.event AS e
 CROSS JOIN unnest(e.subject_ids, e.versions) WITH ORDINALITY AS named(id, version, n)
  JOIN ledger.subject AS s ON s.ledger_id = e.ledger_id AND s.subject_id = named.id;
CREATE TEMP TABLE subjects (p bigint, n int, key text, id bigint, first int, per_cycle int,
                            renewed bool, old_name text, new_name text);
CREATE TEMP TABLE fresh (p bigint, cycle int, position bigint, uuid uuid, salt bytea, body bytea);
ANALYZE base; ANALYZE named;
"""
# $1 generation, $2 head: the position before it. `first` is the version in its first cycle.
_SUBJECTS = """
INSERT INTO subjects
SELECT p, n, new_key,
       CASE WHEN renewed THEN first_value(($2 + p) * 64 + n - 1) OVER (PARTITION BY key ORDER BY p)
            ELSE id END,
       CASE WHEN renewed THEN rank ELSE rank + per_cycle * (1 + ($1 - 1) * $3::int) END,
       per_cycle, renewed, substr(key, strpos(key, ':') + 1),
       substr(new_key, strpos(new_key, ':') + 1)
  FROM (SELECT *, CASE
            WHEN NOT renewed THEN key
            WHEN key LIKE 'artifact:sha256:%' THEN 'artifact:sha256:'
                 || encode(sha256(convert_to(key || '-' || $1::int, 'UTF8')), 'hex')
            ELSE key || '-' || $1::int END AS new_key FROM named) AS renamed
"""
_FRESH = """
INSERT INTO fresh
SELECT p, cycle, $1::bigint + cycle * $2::int + p, uuid, uuid_send(gen_random_uuid()),
       convert_to(replace(body, id, uuid::text), 'UTF8')
  FROM (SELECT b.p, cycle, gen_random_uuid() AS uuid, b.id,
               replace(replace(replace(b.body,
                   quoted.old[1], quoted.new[1]), quoted.old[2], quoted.new[2]),
                   quoted.old[3], quoted.new[3]) AS body
          FROM base AS b
          JOIN (SELECT p, array_agg('"' || old_name || '"' ORDER BY n) AS old,
                       array_agg('"' || new_name || '"' ORDER BY n) AS new
                  FROM subjects WHERE renewed GROUP BY p) AS quoted USING (p)
         CROSS JOIN generate_series(0, $3::int - 1) AS cycle OFFSET 0) AS made
 ORDER BY cycle, p
"""
_SUBJECT_ROWS = """
INSERT INTO ledger.subject (ledger_id, subject_id, key)
SELECT DISTINCT $1::smallint, id, key FROM subjects WHERE renewed
"""
_HISTORY_ROWS = """
INSERT INTO ledger.history (ledger_id, subject_id, version, position)
SELECT $1::smallint, s.id, s.first + s.per_cycle * f.cycle, f.position
  FROM subjects AS s JOIN fresh AS f USING (p) ORDER BY 2, 3
"""
_BODY_ROWS = """
INSERT INTO ledger.event_body (ledger_id, position, salt, body)
SELECT $1::smallint, position, salt, body FROM fresh ORDER BY position
"""
_EVENT_ROWS = """
INSERT INTO ledger.event (
    ledger_id, position, event_uuid, source, type, subject_ids, versions,
    occurred_at, recorded_at, principal, assurance, commitment)
SELECT $1::smallint, f.position, f.uuid, b.source, b.type, n.ids, n.versions,
       b.occurred_at, statement_timestamp(), b.principal, b.assurance, sha256(f.salt || f.body)
  FROM fresh AS f JOIN base AS b USING (p)
  JOIN (SELECT p, cycle, array_agg(s.id ORDER BY n) AS ids,
               array_agg(s.first + s.per_cycle * cycle ORDER BY n) AS versions
          FROM subjects AS s JOIN fresh USING (p) GROUP BY p, cycle) AS n USING (p, cycle)
 ORDER BY f.position
"""


_READ = """
SELECT e.position, e.recorded_at, e.commitment, e.event_uuid, b.salt, b.body,
       (SELECT array_agg((s.key, n.version) ORDER BY n.nth)
          FROM unnest(e.subject_ids, e.versions) WITH ORDINALITY AS n(id, version, nth)
          JOIN ledger.subject AS s ON s.subject_id = n.id) AS named,
       (SELECT bool_and((SELECT count(*) = n.version AND max(h.position) = e.position
                           FROM ledger.history AS h
                          WHERE h.subject_id = n.id AND h.version <= n.version))
          FROM unnest(e.subject_ids, e.versions) AS n(id, version)) AS dense
  FROM ledger.event AS e JOIN ledger.event_body AS b USING (ledger_id, position)
 WHERE e.position = ANY($1::bigint[])
"""
_SAMPLE = 50


async def preload(url: str, ledger_id: int, head: int, events: int) -> int:
    """Fill a ledger that holds the load's events once, up to about `events`; return its head."""
    cycle = head
    connection = await database.connection(url, "bench preload", _FAST)
    try:
        await connection.execute(_SETUP)
        generation = 0
        while head + CYCLES * cycle // 2 < events:
            generation += 1
            async with connection.transaction():
                await _generation(connection, ledger_id, generation, head, cycle)
            head += CYCLES * cycle
            if generation % 10 == 0:
                print(f"  preloaded {head} of {events}", file=sys.stderr, flush=True)
        await _settle(connection)
        await _verify(connection, head)
    finally:
        await connection.close()
    return head


async def _generation(
    connection: database.Connection, ledger_id: int, generation: int, head: int, cycle: int
) -> None:
    await connection.execute("TRUNCATE subjects, fresh")
    await connection.execute(_SUBJECTS, generation, head, CYCLES)
    await connection.execute(_FRESH, head, cycle, CYCLES)
    await connection.execute("ANALYZE subjects")
    await connection.execute("ANALYZE fresh")
    for statement in (_SUBJECT_ROWS, _HISTORY_ROWS, _BODY_ROWS, _EVENT_ROWS):
        await connection.execute(statement, ledger_id)


async def _settle(connection: database.Connection) -> None:
    """Leave nothing to do for later: visible pages, fresh statistics, everything on disk."""
    await connection.execute("VACUUM (ANALYZE)", timeout=3600)
    await connection.execute("CHECKPOINT", timeout=3600)


async def _verify(connection: database.Connection, head: int) -> None:
    """Read a sample as the ledger reads its own: what it names is what its body says."""
    sample = [random.randrange(1, head + 1) for _ in range(_SAMPLE)]
    for row in await connection.fetch(_READ, sample, timeout=600):
        stored = body.Recorded(
            row["position"], dict(row["named"]), row["recorded_at"], row["commitment"], row["body"]
        )
        event = catalogue.parse(json.loads(stored.event))
        assert list(stored.versions) == catalogue.subjects_of(event), row["position"]
        assert leaf.event_uuid(event.id) == row["event_uuid"]
        assert hashlib.sha256(row["salt"] + row["body"]).digest() == row["commitment"]
        assert row["dense"], row["position"]
