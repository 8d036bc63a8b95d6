"""The hot reads in SQL: each page is one statement, so its head and its events are one snapshot.

Every statement goes by keys, at any size of the tables, and looks at a bounded number of rows.
What makes that possible: positions and versions have no gaps, and `recorded_at` never runs
backwards along them. So "the last one that is not after …" is found by halving, not by scanning.

A page gives at least one row. Its columns: `head`; `until`, how far it looked (of a history: its
last version); an event's own, NULL where there is none; and once, `ids` and `keys` of all subjects.
The event behind the last one that `fits` comes without its body: there is more. One that fits and
has none was redacted.
"""

from __future__ import annotations

HEAD = """
SELECT position, commitment FROM ledger.event WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1
"""
"""The last event. $1 ledger."""

# A body that was redacted is not there; the event keeps its place.
_BODY = """LEFT JOIN LATERAL (
       SELECT body FROM ledger.event_body
        WHERE ledger_id = $1 AND position = e.position LIMIT 1) AS stored ON true"""
_EVENTS = f"""
SELECT e.position, e.subject_ids, e.versions, e.recorded_at, e.commitment, stored.body,
       ARRAY(SELECT key FROM unnest(e.subject_ids) WITH ORDINALITY AS given(id, nth)
              CROSS JOIN LATERAL (
                    SELECT key FROM ledger.subject
                     WHERE ledger_id = $1 AND subject_id = given.id LIMIT 1) AS subject
              ORDER BY nth) AS keys
  FROM ledger.event AS e {_BODY}
"""  # noqa: S608 - as everywhere in this file: only our own words are put together
MANY = f"""
{_EVENTS} WHERE e.ledger_id = $1 AND e.position = ANY($2::bigint[]) ORDER BY e.position
"""
"""Events by position. $1 ledger, $2 positions."""
STAND_IN = """
SELECT position, event_uuid, source, type, occurred_at, principal, assurance
  FROM ledger.event WHERE ledger_id = $1 AND position = ANY($2::bigint[])
"""
"""What is left of redacted events. $1 ledger, $2 positions."""
BY_ID = f"{_EVENTS} WHERE e.event_uuid = $2 AND e.ledger_id = $1 AND e.source = $3"
"""One event. $1 ledger, $2 the key of its id, $3 source."""

_LAST = """bounds AS MATERIALIZED (
    SELECT coalesce((SELECT position FROM ledger.event
                      WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1), 0) AS head
)"""
_HEAD = "(SELECT head FROM bounds)"
_SUBJECT = """subject AS MATERIALIZED (
    SELECT subject_id AS id, (SELECT version FROM ledger.history
                               WHERE subject_id = known.subject_id AND ledger_id = $1
                               ORDER BY version DESC LIMIT 1) AS version
      FROM ledger.subject AS known WHERE key = {key} AND ledger_id = $1
)"""
_ID = "(SELECT id FROM subject)"
_VERSION_AT = (
    f"SELECT position FROM ledger.history WHERE subject_id = {_ID} AND ledger_id = $1 AND version"  # noqa: S608 - as above
)
_OF_SUBJECT = f"""ledger.history AS h CROSS JOIN LATERAL (
       SELECT * FROM ledger.event
        WHERE ledger_id = $1 AND position = h.position LIMIT 1) AS e {{body}}
 WHERE h.subject_id = {_ID} AND h.ledger_id = $1"""  # noqa: S608


def _last_where(name: str, highest: str, lookup: str, most: str) -> str:
    """Return a CTE: the last of 1..highest for which `lookup` gives no more than `most`, or 0.

    `lookup` must not run backwards. It is asked log2(highest) times.
    """
    return f"""{name}(low, high) AS (
    SELECT 0::bigint, coalesce({highest}, 0)::bigint
     UNION ALL
    SELECT CASE WHEN there THEN middle ELSE low END, CASE WHEN there THEN high ELSE middle - 1 END
      FROM {name}
     CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) AS halved
     CROSS JOIN LATERAL (SELECT ({lookup} = middle) <= {most} AS there) AS looked
     WHERE low < high
)"""  # noqa: S608


def _page(steps: list[str], found: str, until: str) -> str:
    """Return the statement for a page. `found` gives candidates in order; $2 limit, $3 bytes.

    A body's size is known without reading it; only the bodies that fit are read.
    """
    given = ",\n".join([_LAST, *steps])
    return f"""
WITH RECURSIVE {given}, page AS MATERIALIZED (
    SELECT *, nth = 1 OR (nth <= $2 AND size <= $3) AS fits
      FROM (SELECT *, row_number() OVER along AS nth,
                   sum(coalesce(octet_length(body), 0)) OVER along AS size
              FROM (SELECT e.position, e.subject_ids, e.versions, e.recorded_at, e.commitment,
                           stored.body FROM {found} LIMIT $2::bigint + 1) AS candidate
            WINDOW along AS (ORDER BY position ROWS UNBOUNDED PRECEDING)) AS summed
     WHERE nth <= 2 OR size - coalesce(octet_length(body), 0) <= $3
), named AS (
    SELECT array_agg(id) AS ids, array_agg(key) AS keys
      FROM (SELECT DISTINCT unnest(subject_ids) AS id FROM page WHERE fits) AS met
     CROSS JOIN LATERAL (SELECT key FROM ledger.subject
                          WHERE ledger_id = $1 AND subject_id = met.id LIMIT 1) AS subject
)
SELECT head, {until} AS until, position, subject_ids, versions, recorded_at, commitment, fits,
       CASE WHEN fits THEN body END AS body,
       CASE WHEN nth = 1 THEN (SELECT ids FROM named) END AS ids,
       CASE WHEN nth = 1 THEN (SELECT keys FROM named) END AS keys
  FROM bounds LEFT JOIN page ON true
"""  # noqa: S608


AFTER = _page(
    [],
    f"""ledger.event AS e {_BODY}
 WHERE e.ledger_id = $1 AND e.position > $4 AND e.position <= {_HEAD} ORDER BY e.position""",
    "head",
)
"""$1 ledger, $2 limit, $3 bytes, $4 after."""
AFTER_BY_TYPE = _page(
    [],
    f"""ledger.event AS e {_BODY}
 WHERE e.ledger_id = $1 AND e.position > $4 AND e.position <= least({_HEAD}, $6)
   AND e.type = $5 ORDER BY e.position""",
    "least(head, $6)",
)
"""$1 ledger, $2 limit, $3 bytes, $4 after, $5 type, $6 the last position to look at."""

_BEFORE = _last_where("before", "(SELECT version FROM subject)", f"{_VERSION_AT}", "$4")
_LOW = "(SELECT low FROM before WHERE low = high)"
AFTER_BY_SUBJECT = _page(
    [_SUBJECT.format(key="$5"), _BEFORE],
    f"{_OF_SUBJECT.format(body=_BODY)} AND h.version > {_LOW} ORDER BY h.version",
    "head",
)
"""$1 ledger, $2 limit, $3 bytes, $4 after, $5 subject."""
AFTER_BY_BOTH = _page(
    [_SUBJECT.format(key="$5"), _BEFORE],
    f"""{_OF_SUBJECT.format(body=_BODY)} AND h.version > {_LOW} AND h.version <= {_LOW} + $7
   AND e.type = $6 ORDER BY h.version""",
    f"coalesce(({_VERSION_AT} = {_LOW} + $7), head)",
)
"""$1 ledger, $2 limit, $3 bytes, $4 after, $5 subject, $6 type, $7 how many versions to look at."""


def _history(steps: list[str], version: str, key: str = "$4", after: str = "$5") -> str:
    return _page(
        [_SUBJECT.format(key=key), *steps],
        f"""{_OF_SUBJECT.format(body=_BODY)} AND h.version > {after} AND h.version <= {version}
 ORDER BY h.version""",
        f"coalesce({version}, 0)",
    )


def _as_of(steps: list[str], position: str, key: str = "$4", after: str = "$5") -> str:
    asked = _last_where("asked", "(SELECT version FROM subject)", _VERSION_AT, position)
    return _history([*steps, asked], "(SELECT low FROM asked WHERE low = high)", key, after)


HISTORY = _history([], "(SELECT version FROM subject)")
"""$1 ledger, $2 limit, $3 bytes, $4 subject, $5 after version."""
HISTORY_AT = _as_of([], "$6")
"""As HISTORY, as of the position $6."""
HISTORIES_AT = f"""
SELECT nth AS asked, found.*
  FROM unnest($4::text[]) WITH ORDINALITY AS wanted(key, nth)
 CROSS JOIN LATERAL ({_as_of([], "$5", key="wanted.key", after="0")}) AS found
"""  # noqa: S608
"""The beginnings of several. $1 ledger, $2 limit, $3 bytes, $4 subjects, $5 position; `asked`:
which of them a row is of, from 1.
"""
HISTORY_AS_OF = _as_of(
    [
        _last_where(
            "moment",
            _HEAD,
            "SELECT recorded_at FROM ledger.event WHERE ledger_id = $1 AND position",
            "$6::timestamptz",
        )
    ],
    "(SELECT low FROM moment WHERE low = high)",
)
"""As HISTORY, as of the time $6."""
