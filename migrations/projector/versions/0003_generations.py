"""A second place for read models, beside the live ones; what is parked is parked by subject."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make `projector_b` like `projector`, and note which of both is live."""
    for statement in sql("projector", "generations_v1.sql"):
        op.execute(statement)
