"""Many events at once, put straight into the tables: for tests of what reading them costs.

They keep the rules of the log (gapless positions and histories, commitments), so an appender can
go on after them. Event n has the subjects `own:n`, `shared:k` (one of 1000, by turns) and `all:1`;
every thousandth is of the type `org.example.rare`; a hundred at a time share a recorded_at.
"""

from __future__ import annotations

from typing import Any

import asyncpg

COUNT = 20_000
START = "2026-01-01T00:00:00+00:00"
RARE = "org.example.rare"

_EVENTS = f"""
WITH made AS (
    SELECT n AS position, convert_to(
               '{{"event":{{"data":{{"pad":"' || repeat('x', $3) || '"}},"id":"bulk-' || n
               || '","source":"/bulk","specversion":"1.0","type":"'
               || CASE WHEN n % 1000 = 0 THEN '{RARE}' ELSE 'org.example.bulk' END
               || '"}},"origin":{{"assurance":"A2","principal":"key:bulk"}}}}', 'UTF8') AS body,
           decode(md5(n::text), 'hex') AS salt
      FROM generate_series(1, $2::bigint) AS n
), bodies AS (
    INSERT INTO ledger.event_body (ledger_id, position, salt, body)
    SELECT $1, position, salt, body FROM made
)
INSERT INTO ledger.event (
    ledger_id, position, event_uuid, source, type, subject_ids, versions,
    recorded_at, principal, assurance, commitment)
SELECT $1, position, md5('bulk-' || position)::uuid, '/bulk',
       CASE WHEN position % 1000 = 0 THEN '{RARE}' ELSE 'org.example.bulk' END,
       ARRAY[position * 64, ((position - 1) % 1000 + 1) * 64 + 1, 64 + 2],
       ARRAY[1, (position - 1) / 1000 + 1, position],
       timestamptz '{START}' + (position - 1) / 100 * interval '1 second',
       'key:bulk', 'A2', sha256(salt || body)
  FROM made
"""  # noqa: S608 - our own words
_HISTORY = """
INSERT INTO ledger.history (ledger_id, subject_id, version, position)
SELECT ledger_id, subject_id, version, position
  FROM ledger.event, unnest(subject_ids, versions) AS named(subject_id, version)
 WHERE ledger_id = $1
"""
_SUBJECTS = """
INSERT INTO ledger.subject (ledger_id, subject_id, key)
SELECT $1::smallint, n * 64, 'own:' || n FROM generate_series(1, $2::bigint) AS n
 UNION ALL
SELECT $1::smallint, k * 64 + 1, 'shared:' || k
  FROM generate_series(1, least($2::bigint, 1000)) AS k
 UNION ALL SELECT $1::smallint, 64 + 2, 'all:1'
"""


async def fill(
    sql: asyncpg.Connection[Any], ledger_id: int, count: int, size: int = 1000, *,
    analyze: bool = True,
) -> None:  # fmt: skip
    """Put `count` events with bodies of about `size` bytes into an empty ledger."""
    async with sql.transaction():
        await sql.execute(_EVENTS, ledger_id, count, size)
        await sql.execute(_HISTORY, ledger_id)
        await sql.execute(_SUBJECTS, ledger_id, count)
    if analyze:
        await sql.execute("VACUUM (ANALYZE)")
