"""Who relays a ledger to Kafka, and how far it is relayed."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A row is rewritten several times a second: room on its page keeps each rewrite off the index.
RELAY = """
CREATE TABLE ledger.relay (
    ledger_id  smallint    NOT NULL PRIMARY KEY REFERENCES ledger.ledger,
    confirmed  bigint      NOT NULL DEFAULT 0 CHECK (confirmed >= 0),
    fencing    bigint      NOT NULL CHECK (fencing > 0),
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 20)
"""
# Whoever writes it, these two never go back.
FORWARD = """
CREATE TRIGGER only_forward BEFORE UPDATE ON ledger.relay
FOR EACH ROW WHEN (new.confirmed < old.confirmed OR new.fencing < old.fencing)
EXECUTE FUNCTION ledger.refuse_step_back_v1()
"""


def upgrade() -> None:
    """Create the table and its guard."""
    op.execute(RELAY)
    for statement in sql("ledger", "refuse_step_back_v1.sql"):
        op.execute(statement)
    op.execute(FORWARD)
