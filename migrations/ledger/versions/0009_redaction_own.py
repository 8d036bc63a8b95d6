"""Redaction: only the ledger's own record counts, and a webhook that is settled later goes too."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CAME_FROM = "CREATE INDEX hook_delivery_positions ON ledger.hook_delivery USING gin (positions)"
GRANTS = (
    "REVOKE ALL ON FUNCTION ledger.unerased_v1 FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION ledger.unerased_v1 TO rlg_eraser",
    # A log that is sealed from its start again has events without a body.
    "GRANT EXECUTE ON FUNCTION ledger.redacted_v1 TO rlg_sealer, rlg_verifier",
    # The sealer looks up what the log says about its own keys.
    "GRANT SELECT ON ledger.history TO rlg_sealer",
)


def upgrade() -> None:
    """Replace both functions and add the one that the sweep asks."""
    for statement in sql("ledger", "redacted_v1.sql", "erase_v1.sql", "unerased_v1.sql"):
        op.execute(statement)
    op.execute(CAME_FROM)
    for statement in GRANTS:
        op.execute(statement)
