"""The sealer: its role, and the signatures that name subjects in the Merkle tree."""

from __future__ import annotations

from alembic import op

from migrations import roles

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The uid is the signature's hash. There is one valid signature under the ledger's naming key, so
# this is a memory, not a choice: made again it is the same.
SUBJECT_NAME = """
CREATE TABLE ledger.subject_name (
    ledger_id  smallint NOT NULL,
    subject_id bigint   NOT NULL,
    signature  bytea    NOT NULL CHECK (length(signature) = 256),
    PRIMARY KEY (ledger_id, subject_id)
)
"""
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.subject_name
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA ledger TO rlg_sealer",
    "GRANT SELECT ON ledger.ledger, ledger.event, ledger.event_body, ledger.subject TO rlg_sealer",
    "GRANT SELECT ON ledger.subject_name, ledger.epoch TO rlg_sealer",
    "GRANT INSERT ON ledger.subject_name TO rlg_sealer",
    "GRANT SELECT ON ledger.subject_name TO rlg_reader, rlg_verifier",
)


def upgrade() -> None:
    """Create the role, the table and its guard."""
    roles.ensure(op.get_bind())
    for statement in (SUBJECT_NAME, APPEND_ONLY, *GRANTS):
        op.execute(statement)
