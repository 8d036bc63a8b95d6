"""What must hold before an event is taken: the server's settings, the schema, our rights.

`Preflight.refuse` stops a start: each thing that is wrong is one sentence of its message. `check`
is the same for /readyz, on a fresh connection each time, since settings, schema and even the server
behind a name can change under a running process. `rehearse` appends a probe to a ledger as a real
append would, rolls it back, and refuses when it did not work or left anything behind.

All of it takes the login's own defaults, not those that our sessions set over them: whoever turned
`synchronous_commit` off for us wants something that a receipt does not allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.kit import database
from services.kit.settings import SettingsError
from services.ledger.rehearsal import rehearse
from services.ledger.tables import LedgerRow

ROLES = ("rlg_reader", "rlg_appender", "rlg_courier")
"""What our connections act as; the login has to be a member of each."""
OLDEST_SERVER = 18
"""The oldest PostgreSQL that we test with."""
_MIGRATE = "run `python -m services migrate`"

_FACTS = """
SELECT current_setting('server_version_num')::integer / 10000 AS version,
       current_setting('server_version') AS version_text,
       pg_is_in_recovery() AS standby,
       current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('default_transaction_isolation') AS isolation,
       session_user::text AS login,
       pg_backend_pid() AS backend,
       ARRAY(SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS wanted(name, n)
              WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY n) AS absent,
       ARRAY(SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS wanted(name, n)
               JOIN pg_roles ON rolname = name
              WHERE NOT pg_has_role(session_user, pg_roles.oid, 'SET') ORDER BY n) AS barred
"""
_HAS_SCHEMA = """
SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'alembic_version'
                  AND relnamespace = to_regnamespace('ledger'))
"""
_REVISION = "SELECT version_num FROM ledger.alembic_version"

Facts = Mapping[str, Any]
_RULES: tuple[tuple[Callable[[Facts], bool], str], ...] = (
    (
        lambda f: bool(f["version"] < f["oldest"]),
        "the server is PostgreSQL {version_text}, and {oldest} is the oldest that we work with",
    ),
    (
        lambda f: bool(f["standby"]),
        "the server is a standby in recovery: DATABASE_URL must name the primary",
    ),
    (
        lambda f: bool(f["encoding"] != "UTF8"),
        "the database is encoded in {encoding}: create it with ENCODING 'UTF8'",
    ),
    (
        lambda f: bool(f["fsync"] != "on"),
        "fsync is off, so a crash could lose what was acknowledged: turn it on",
    ),
    (
        lambda f: bool(f["full_page_writes"] != "on"),
        "full_page_writes is off, so a crash could tear stored pages: turn it on",
    ),
    (
        lambda f: f["synchronous_commit"] in {"off", "local"},
        (
            "synchronous_commit is {synchronous_commit} for {login}, "
            "so a crash could lose what was acknowledged: set it to on"
        ),
    ),
    (
        lambda f: f["certified"] and f["synchronous_commit"] == "remote_write",
        (
            "synchronous_commit is remote_write for {login}, "
            "and certified receipts need a standby that flushes: set it to on"
        ),
    ),
    (
        lambda f: bool(f["isolation"] != "read committed"),
        "default_transaction_isolation is {isolation} for {login}: set it to read committed",
    ),
    (
        lambda f: bool(f["backend"] != f["told_backend"]),
        (
            "a connection pooler stands between us and the server: DATABASE_URL must reach "
            "PostgreSQL itself, since we keep locks, LISTEN and prepared statements in a session"
        ),
    ),
    (
        lambda f: bool(f["absent"]),
        "the database has no roles {absent_names}: " + _MIGRATE,
    ),
    (
        lambda f: bool(f["barred"]),
        "the login {login} is not a member of {barred_names}: let a DBA GRANT {barred_names} to it",
    ),
    (
        lambda f: f["revision"] is None,
        "the database has no schema of the ledger yet: " + _MIGRATE,
    ),
    (
        lambda f: f["revision"] is not None and bool(f["revision"] < f["known"]),
        "the schema is at migration {revision} and this version needs {known}: " + _MIGRATE,
    ),
)
_TOO_NEW = "the schema is at migration {}, which this version does not know ({} is its newest)"


class Away(SettingsError):
    """The database does not answer."""


class Preflight:
    """The checks on one database. `certified`: acknowledged means flushed by a standby too."""

    def __init__(
        self,
        url: str,
        revision: str,
        *,
        name: str = "DATABASE_URL",
        certified: bool = False,
        oldest: int = OLDEST_SERVER,
    ) -> None:
        """`name` is for people: which database it is, never the URL, which has a password."""
        self._url = url
        self._name = name
        self._certified = certified
        self._known = {"known": revision, "certified": certified, "oldest": oldest}

    async def refuse(self) -> None:
        """Raise `SettingsError` with a sentence for each thing that is wrong; `Away`: no answer."""
        try:
            facts = await self._facts()
        except (TimeoutError, *database.DatabaseError) as error:
            raise Away(f"the database at {self._name} does not answer: {error}") from error
        found = _complaints(facts)
        if facts["revision"] is not None and facts["revision"] > facts["known"]:
            found.append(_TOO_NEW.format(facts["revision"], facts["known"]))
        if found:
            raise SettingsError("; ".join(found))

    async def check(self) -> str | None:
        """Return what is wrong, or None.

        A schema that was migrated under a running process is no fault: functions that it calls
        stay beside the new ones. The next start has to know it.
        """
        return "; ".join(_complaints(await self._facts())) or None

    async def rehearse(self, ledgers: Iterable[LedgerRow]) -> None:
        """Append to each ledger and roll back, or raise `SettingsError`."""
        for ledger in ledgers:
            await rehearse(self._url, ledger, certified=self._certified)

    async def _facts(self) -> Facts:
        connection = await database.connection(self._url, "ledger preflight")
        try:
            facts = dict(await connection.fetchrow(_FACTS, ROLES))
            facts |= self._known | {"told_backend": connection.get_server_pid(), "revision": None}
            facts |= {f"{of}_names": ", ".join(facts[of]) for of in ("absent", "barred")}
            if "rlg_reader" in facts["barred"]:
                facts["revision"] = facts["known"]  # not to be seen by this login; it says so
            elif await connection.fetchval(_HAS_SCHEMA):
                if "rlg_reader" not in facts["absent"]:
                    await connection.execute("SET ROLE rlg_reader")
                facts["revision"] = await connection.fetchval(_REVISION)
        finally:
            connection.terminate()
        return facts


def _complaints(facts: Facts) -> list[str]:
    return [sentence.format(**facts) for is_wrong, sentence in _RULES if is_wrong(facts)]
