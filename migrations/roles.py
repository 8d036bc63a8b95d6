"""Database roles: who may do what. Roles belong to the whole cluster, ownership to each schema.

Services log in as whoever their URL names and take one of these roles for each connection, so that
a fault in one part cannot reach what it never needs. What a role may do stands in `grants_v1.sql`
of each section; docs/operations.md says what a database administrator prepares.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

OWNER = "rlg_owner"
ROLES = (
    OWNER,
    "rlg_appender",
    "rlg_reader",
    "rlg_courier",
    "rlg_projector",
    "rlg_eraser",
    "rlg_verifier",
    "rlg_sealer",
    "rlg_gatekeeper",
)

# Other databases of the cluster may be migrated at the same moment: whoever comes second waits for
# the first one's transaction and then finds the role.
_CREATE = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
_ABSENT = text("""
SELECT wanted FROM unnest(CAST(:roles AS text[])) WITH ORDINALITY AS asked(wanted, n)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) ORDER BY n
""")
_ME = text("""
SELECT rolname AS name, rolsuper AS mighty, rolsuper OR rolcreaterole AS may_create
  FROM pg_roles WHERE rolname = current_user
""")
_OWNS = text("SELECT pg_has_role(:role, 'USAGE') AND pg_has_role(:role, 'SET')")
# The schema comes first: an owner must be able to create in it.
_FOREIGN = text("""
SELECT thing, callable
  FROM (SELECT 1 AS nth, nspowner AS owner, nspname AS place, false AS callable,
               format('SCHEMA %I', nspname) AS thing
          FROM pg_namespace
        UNION ALL
        SELECT 2, relowner, nspname, false, format('TABLE %I.%I', nspname, relname)
          FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
         WHERE relkind IN ('r', 'p', 'v', 'm')
        UNION ALL
        SELECT 3, proowner, nspname, true,
               format('ROUTINE %I.%I(%s)', nspname, proname,
                      pg_get_function_identity_arguments(p.oid))
          FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace) AS everything
 WHERE place = :schema AND owner <> (SELECT oid FROM pg_roles WHERE rolname = :owner)
 ORDER BY nth, thing
""")


class MigrationRefused(Exception):
    """The database cannot be migrated as it is; the message is one sentence for its DBA."""


def ensure(connection: Connection) -> None:
    """Create the roles that are missing, or raise `MigrationRefused`.

    Whoever migrates has to be a member of the owner. A login that creates the roles becomes a
    member of all of them: it owns everything through the first one anyway.
    """
    me = connection.execute(_ME).one()
    absent = list(connection.execute(_ABSENT, {"roles": list(ROLES)}).scalars())
    if absent and not me.may_create:
        raise MigrationRefused(_what_to_run(me.name, absent))
    connection.execute(text("SET LOCAL lock_timeout = '60s'"))
    for role in absent:
        connection.execute(text(_CREATE.format(role=role)))
        if not me.mighty:
            connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
    connection.execute(text("SET LOCAL lock_timeout = '4s'"))
    if not connection.scalar(_OWNS, {"role": OWNER}):
        raise MigrationRefused(
            f"the login {me.name} migrates but is no member of {OWNER}: "
            f'let a superuser run: GRANT {OWNER} TO "{me.name}";'
        )


def hand_over(connection: Connection, schema: str) -> None:
    """Give everything in a schema to the owner, and take new functions from PUBLIC.

    PostgreSQL lets everybody execute a new function; here each one is granted by name.
    """
    whose = {"schema": schema, "owner": OWNER}
    for thing, callable_ in connection.execute(_FOREIGN, whose).all():
        if callable_:
            connection.execute(text(f"REVOKE ALL ON {thing} FROM PUBLIC"))
        connection.execute(text(f"ALTER {thing} OWNER TO {OWNER}"))


def _what_to_run(login: str, absent: list[str]) -> str:
    create = " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in absent)
    return (
        f"the roles {', '.join(absent)} are missing and the login {login} may not create roles: "
        f'let a superuser run: {create} GRANT {OWNER} TO "{login}";'
    )
