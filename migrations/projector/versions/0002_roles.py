"""The projector's role and what it may do."""

from __future__ import annotations

from alembic import op

from migrations import roles
from migrations.run import sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the roles that are missing and grant."""
    roles.ensure(op.get_bind())
    for statement in sql("projector", "grants_v1.sql"):
        op.execute(statement)
