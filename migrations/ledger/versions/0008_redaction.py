"""Redaction: a body may be removed when an event says so, and in no other way."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEPT = """
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON ledger.event_body
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
RECORDED = """
CREATE TRIGGER recorded BEFORE DELETE ON ledger.event_body
FOR EACH ROW EXECUTE FUNCTION ledger.refuse_unrecorded_v1()
"""
# What came in is evidence too; of a delivery whose event was redacted, the bytes may go.
EVIDENCE = """
CREATE TRIGGER evidence
BEFORE DELETE OR UPDATE OF connection, ledger, delivery_key, received_at, raw_sha256, assurance
    OR TRUNCATE ON ledger.hook_delivery
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
RAW = """
CREATE TRIGGER recorded BEFORE UPDATE OF headers, raw ON ledger.hook_delivery
FOR EACH ROW EXECUTE FUNCTION ledger.refuse_unrecorded_raw_v1()
"""
GRANTS = (
    # The function does it with the owner's rights, and the raw webhook with it.
    "REVOKE ALL ON ledger.event_body FROM rlg_eraser",
    "REVOKE ALL ON FUNCTION ledger.erase_v1, ledger.redacted_v1 FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION ledger.erase_v1, ledger.redacted_v1 TO rlg_eraser",
    "GRANT SELECT ON ledger.ledger, ledger.subject TO rlg_eraser",
    "GRANT SELECT (ledger_id, position) ON ledger.event_body TO rlg_eraser",
)


def upgrade() -> None:
    """Replace the guard of the bodies, and create the one function that removes one."""
    op.execute("DROP TRIGGER append_only ON ledger.event_body")
    op.execute("DROP TRIGGER evidence ON ledger.hook_delivery")
    files = ("redacted_v1.sql", "refuse_unrecorded_v1.sql", "refuse_unrecorded_raw_v1.sql")
    for statement in (*sql("ledger", *files, "erase_v1.sql"), KEPT, RECORDED, EVIDENCE, RAW):
        op.execute(statement)
    for statement in GRANTS:
        op.execute(statement)
