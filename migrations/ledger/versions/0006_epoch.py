"""Epochs: when each began, after which event, and why."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A ledger's first epoch has no row: it began with the ledger.
EPOCH = """
CREATE TABLE ledger.epoch (
    ledger_id      smallint    NOT NULL REFERENCES ledger.ledger,
    epoch          integer     NOT NULL CHECK (epoch > 1),
    after_position bigint      NOT NULL CHECK (after_position >= 0),
    commitment     bytea       NOT NULL CHECK (length(commitment) IN (0, 32)),
    reason         text        NOT NULL CHECK (reason ~ '\\S'),
    person         text        NOT NULL,
    login          text        NOT NULL DEFAULT session_user,
    began_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (ledger_id, epoch)
)
"""
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.epoch
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""


def upgrade() -> None:
    """Create the table, its guard, and the function that begins an epoch."""
    op.execute(EPOCH)
    op.execute(APPEND_ONLY)
    for statement in sql("ledger", "begin_epoch_v1.sql"):
        op.execute(statement)
    op.execute("GRANT SELECT ON ledger.epoch TO rlg_reader, rlg_verifier")
