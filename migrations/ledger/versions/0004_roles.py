"""Roles and grants; guards on what had none yet; how append-only tables are vacuumed."""

from __future__ import annotations

from alembic import op

from migrations import roles
from migrations.run import sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Restores and failovers raise a ledger's epoch; nothing else in its row ever changes.
LEDGER_KEPT = """
CREATE TRIGGER kept
BEFORE DELETE OR UPDATE OF ledger_id, name, created_at OR TRUNCATE ON ledger.ledger
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
LEDGER_FORWARD = """
CREATE TRIGGER only_forward BEFORE UPDATE ON ledger.ledger
FOR EACH ROW WHEN (new.epoch < old.epoch) EXECUTE FUNCTION ledger.refuse_step_back_v1()
"""
# Without its row a relay would begin again with fencing token 1, which has been given before.
RELAY_KEPT = """
CREATE TRIGGER kept BEFORE DELETE OR UPDATE OF ledger_id OR TRUNCATE ON ledger.relay
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
DELIVERY_KEPT = """
CREATE TRIGGER kept BEFORE UPDATE OF delivery_id ON ledger.hook_delivery
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
QUARANTINE_KEPT = """
CREATE TRIGGER kept
BEFORE DELETE OR UPDATE OF quarantine_id, delivery_id, opened_at OR TRUNCATE ON ledger.quarantine
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
# Rows never change: the first vacuum after an insert can freeze them for good, so that no later one
# has to read or log their pages again; and no page needs room for a longer row.
STORAGE = """
ALTER TABLE ledger.{table} SET (
    fillfactor = 100,
    autovacuum_freeze_min_age = 0{toast}
)
"""
# Bodies over some 2 kB stand in the TOAST table, which grows in the same way and has thresholds of
# its own.
TOAST = """,
    toast.autovacuum_vacuum_insert_threshold = 20000,
    toast.autovacuum_vacuum_insert_scale_factor = 0.02,
    toast.autovacuum_freeze_min_age = 0
"""
APPEND_ONLY = ("event", "event_body", "subject", "history")


def upgrade() -> None:
    """Create the roles, then grant, guard and tune."""
    roles.ensure(op.get_bind())
    for statement in (LEDGER_KEPT, LEDGER_FORWARD, RELAY_KEPT, DELIVERY_KEPT, QUARANTINE_KEPT):
        op.execute(statement)
    for table in APPEND_ONLY:
        op.execute(STORAGE.format(table=table, toast=TOAST if table == "event_body" else ""))
    for statement in sql("ledger", "grants_v1.sql"):
        op.execute(statement)
