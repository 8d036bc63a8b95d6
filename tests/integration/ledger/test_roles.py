"""Database roles: each can do exactly its things, and nobody can change the log."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from services.kit import database
from services.kit.identity import Keyring
from services.kit.settings import Shared
from services.ledger import service as ledger_service
from services.ledger.hooks.store import HookStore
from services.ledger.lease import Lease
from services.ledger.pool import Pool
from services.ledger.settings import LedgerSettings
from services.ledger.store import Reader
from services.ledger.writer import Writer
from services.projector.generations import Generations
from services.projector.writing import Folded, Projection

pytestmark = pytest.mark.postgres

# Select, Insert, Update (of at least one column), Delete, Truncate. Small: granted, and refused by
# a trigger. A table that is not listed fails the test. Of a body or a webhook's bytes each row asks
# whether its redaction is recorded (test_redaction.py): without a row nothing is refused here.
MAY = """
table                    owner  appender reader courier projector eraser verifier sealer gatekeeper
ledger.ledger            SIUdt  S        S      SI      -         S      S        S      -
ledger.epoch             SIudt  -        S      -       -         -      S        S      -
ledger.event             SIudt  S        S      -       -         -      S        S      -
ledger.event_body        SIuDt  S        S      -       -         S      S        S      -
ledger.subject           SIudt  S        S      -       -         S      S        S      -
ledger.subject_name      SIudt  -        S      -       -         -      S        SI     -
ledger.history           SIudt  S        S      -       -         -      S        S      -
ledger.hook_delivery     SIUdt  -        -      SIU     -         -      -        -      -
ledger.quarantine        SIUdt  -        -      SIU     -         -      -        -      -
ledger.relay             SIUdt  -        -      SIU     -         -      -        -      -
ledger.alembic_version   SIUDT  -        S      -       -         -      S        -      -
projector.*              SIUDT  -        -      -       SIUD      -      -        -      -
projector.generation     SIUDT  -        -      -       SIU       -      -        -      -
projector_b.*            SIUDT  -        -      -       SIUD      -      -        -      -
projector.alembic_version SIUDT -        -      -       S         -      -        -      -
gatekeeper.*             SIUDT  -        -      -       -         -      -        -      SIUD
gatekeeper.alembic_version SIUDT -       -      -       -         -      -        -      -
"""
# Columns that may be updated; all others are refused, by grant or by trigger.
UPDATABLE = {
    "rlg_owner": {
        "ledger.ledger": {"epoch"},
        "ledger.hook_delivery": {
            "state",
            "positions",
            "adapter_version",
            "settled_at",
            "headers",
            "raw",
        },
        "ledger.quarantine": {"reason", "adapter_version", "state", "replayed_at", "replayed_by"},
        "ledger.relay": {"confirmed", "fencing", "holder", "expires_at"},
    },
    "rlg_courier": {
        "ledger.hook_delivery": {"state", "positions", "adapter_version", "settled_at"},
        "ledger.quarantine": {"reason", "adapter_version", "state", "replayed_at", "replayed_by"},
        "ledger.relay": {"confirmed", "fencing", "holder", "expires_at"},
    },
}
NARROW = {table for tables in UPDATABLE.values() for table in tables}
ROLES = [f"rlg_{name}" for name in MAY.split("\n")[1].split()[1:]]
UPDATE = 'UPDATE {} SET "{}" = DEFAULT WHERE false'
VERBS = {
    "S": "SELECT FROM {} LIMIT 0",
    "I": "INSERT INTO {} DEFAULT VALUES",
    "D": "DELETE FROM {} WHERE false",
    "T": "TRUNCATE {} CASCADE",
}


def expected(role: str, tables: set[str]) -> dict[str, str]:
    rows = [line.split() for line in MAY.strip().split("\n")[1:]]
    column = 1 + ROLES.index(role)
    given = {name: may[column - 1].strip("-") for name, *may in rows}
    models = {name[:-1]: given.pop(name) for name in list(given) if name.endswith(".*")}
    found = {
        table: may for start, may in models.items() for table in tables if table.startswith(start)
    }
    return found | given


async def outcome(sql: database.Connection, statement: str) -> str:
    """Say whether the statement is refused by a grant, by a trigger, or not for either reason."""
    attempt = sql.transaction()
    await attempt.start()
    try:
        await sql.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        return "denied" if "permission denied" in str(error) else "guarded"
    except asyncpg.PostgresError:
        return "able"
    finally:
        await attempt.rollback()
    return "able"


async def columns(sql: Any) -> dict[str, list[str]]:
    found = await sql.fetch(
        "SELECT c.oid::regclass::text AS name, array_agg(attname::text) AS columns"
        "  FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0"
        " WHERE relnamespace IN ('ledger'::regnamespace, 'projector'::regnamespace,"
        " 'projector_b'::regnamespace, 'gatekeeper'::regnamespace)"
        "   AND relkind IN ('r', 'p', 'v', 'm') AND NOT attisdropped GROUP BY 1"
    )
    return {row["name"]: row["columns"] for row in found}


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def login(
    database_url: str, admin: asyncpg.Connection[Any]
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Make a login that is a member of some roles and has nothing until it takes one of them."""
    made: list[str] = []

    async def make(*roles: str) -> str:
        made.append(f"app_{uuid.uuid4().hex[:8]}")
        await admin.execute(f"CREATE ROLE {made[-1]} LOGIN")
        for role in roles:
            await admin.execute(f"GRANT {role} TO {made[-1]} WITH INHERIT FALSE, SET TRUE")
        return database_url.replace("postgres@", f"{made[-1]}@")

    yield make
    for name in made:
        await admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1", name
        )
        await admin.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_can_do_exactly_its_things(
    database_url: str, admin: asyncpg.Connection[Any], role: str
) -> None:
    tables = await columns(admin)
    sql = await database.connection(database_url, "test", role=role)
    found: dict[str, str] = {}
    updatable: dict[str, set[str]] = {}
    for table, names in tables.items():
        outcomes = {name: await outcome(sql, UPDATE.format(table, name)) for name in names}
        updates = set(outcomes.values())
        verbs = {
            verb: await outcome(sql, statement.format(table)) for verb, statement in VERBS.items()
        }
        verbs["U"] = next((o for o in ("able", "guarded") if o in updates), "denied")
        said: dict[str, Callable[[str], str]] = {
            "able": str.upper,
            "guarded": str.lower,
            "denied": lambda _: "",
        }
        found[table] = "".join(said[verbs[verb]](verb) for verb in "SIUDT")
        if table in NARROW and "able" in updates:
            updatable[table] = {name for name, able in outcomes.items() if able == "able"}
    await sql.close()
    assert found == expected(role, set(tables))
    assert updatable == UPDATABLE.get(role, {})


async def test_nobody_but_the_appender_and_the_owner_may_call_a_function(
    admin: asyncpg.Connection[Any],
) -> None:
    found = await admin.fetch(
        "SELECT proname::text AS name, ARRAY(SELECT who FROM unnest($1::text[]) AS who"
        "        WHERE has_function_privilege(who, p.oid, 'EXECUTE')) AS who, prosecdef AS definer,"
        "       proowner::regrole::text AS owner, proconfig AS settings"
        "  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
        " WHERE nspname IN ('ledger', 'projector', 'projector_b', 'gatekeeper')",
        ["public", *ROLES],
    )
    callers = {row["name"]: row["who"] for row in found}
    assert callers.pop("append_v1") == ["rlg_owner", "rlg_appender"]
    assert callers.pop("erase_v1") == ["rlg_owner", "rlg_eraser"]
    assert callers.pop("unerased_v1") == ["rlg_owner", "rlg_eraser"]
    askers = ["rlg_owner", "rlg_eraser", "rlg_sealer", "rlg_verifier"]
    assert sorted(callers.pop("redacted_v1")) == sorted(askers)
    assert set(map(tuple, callers.values())) == {("rlg_owner",)}
    assert {row["owner"] for row in found} == {"rlg_owner"}
    for row in found:
        if row["definer"]:
            assert "search_path=pg_catalog, pg_temp" in row["settings"]
    definers = sorted(row["name"] for row in found if row["definer"])
    assert definers == ["append_v1", "erase_v1", "redacted_v1", "unerased_v1"]


async def test_a_function_that_comes_later_is_the_owners_alone(
    admin: asyncpg.Connection[Any],
) -> None:
    await admin.execute("SET ROLE rlg_owner")
    await admin.execute("CREATE FUNCTION ledger.later() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert not await admin.fetchval(
        "SELECT has_function_privilege('public', 'ledger.later()', 'EXECUTE')"
    )


async def test_the_eraser_sees_no_body(database_url: str) -> None:
    sql = await database.connection(database_url, "test", role="rlg_eraser")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await sql.fetch("SELECT body FROM ledger.event_body")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await sql.execute("DELETE FROM ledger.event_body WHERE ledger_id = 1 AND position = 1")
    await sql.close()


async def test_an_epoch_and_a_fencing_token_never_go_back(
    database_url: str, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute("INSERT INTO ledger.ledger (ledger_id, name) VALUES (1, 'main')")
    sql = await database.connection(database_url, "test", role="rlg_owner")
    await sql.execute("UPDATE ledger.ledger SET epoch = 3")
    with pytest.raises(asyncpg.CheckViolationError, match="step back"):
        await sql.execute("UPDATE ledger.ledger SET epoch = 2")
    await sql.close()


async def test_every_connection_of_ours_takes_its_role(
    database_url: str, login: Callable[..., Awaitable[str]]
) -> None:
    """Without a role the login may not even see the schema, so whatever works has taken one."""
    url = await login("rlg_appender", "rlg_reader", "rlg_courier")
    shared = Shared.model_validate({"DATABASE_URL": url})
    settings = LedgerSettings(names="main,other")
    service = ledger_service.build(shared, settings, Keyring())
    async with service.run():
        assert {name: await check() for name, check in service.checks.items()} == {
            "database": None,
            "preflight": None,
            "epoch": None,
        }
    reader = Reader(database.engine(url, "test", role="rlg_reader"))
    await reader.open(["main", "other"])  # the service has created them
    writer = Writer(url, reader.ledger("other"))
    assert await (await writer._connection(0)).fetchval("SELECT current_user") == "rlg_appender"
    await writer.close()
    courier = database.engine(url, "test", role="rlg_courier")
    assert await Lease(courier, reader.ledger("main").id).claim() is not None
    hooks = HookStore(url)
    await hooks.open()
    assert await hooks.counts() == (0, 0)
    await hooks.close()
    await reader.close()
    await courier.dispose()


async def test_the_projector_needs_one_role(login: Callable[..., Awaitable[str]]) -> None:
    engine = database.engine(await login("rlg_projector"), "test", role="rlg_projector")
    projection = Projection(engine, "main")
    async with projection.claim() as claim:
        await projection.seen(claim, 5, None)
        moved = Folded(3, "2026-03-01T00:00:00Z", {}, [])
        await projection.commit(claim, moved)
    generations = Generations(engine, "main")
    made = await generations.begin()
    assert await generations.flip(made) is False  # it is behind the live one
    async with Projection(engine, "main", made).claim() as claim:
        assert claim.position == 0
    await engine.dispose()


async def test_a_login_that_is_not_a_member_is_told_so(
    login: Callable[..., Awaitable[str]],
) -> None:
    url = await login("rlg_reader")
    told = r"the login of DATABASE_URL cannot work as rlg_appender \(permission denied to set role"
    with pytest.raises(database.RoleRefused, match=told):
        await database.connection(url, "test", role="rlg_appender")
    engine = database.engine(url, "test", role="rlg_appender")
    with pytest.raises(database.RoleRefused, match=told):
        await engine.connect()
    await engine.dispose()
    with pytest.raises(database.RoleRefused, match='role "rlg_nobody" does not exist'):
        await database.connection(url, "test", role="rlg_nobody")


async def test_a_mighty_login_is_lowered_to_its_role(database_url: str) -> None:
    engine = database.engine(database_url, "test", role="rlg_reader")
    async with engine.connect() as connection:
        who = (await connection.execute(text("SELECT session_user, current_user"))).one()
    assert tuple(who) == ("postgres", "rlg_reader")
    await engine.dispose()
    pool = Pool(database_url, "test", 1, role="rlg_courier")
    for _ in range(2):  # a connection that comes back keeps its role
        async with pool.connection() as lent:
            assert await lent.fetchval("SELECT current_user") == "rlg_courier"
    await pool.close()
