"""`append_v1` in its fast form: fenced by the epoch, run with the owner's rights."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the present function in the place of the former one."""
    op.execute("DROP FUNCTION IF EXISTS ledger.append_v1")
    for statement in sql("ledger", "append_v1.sql"):
        op.execute(statement)
    op.execute("GRANT EXECUTE ON FUNCTION ledger.append_v1 TO rlg_appender")
