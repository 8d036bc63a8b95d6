"""Deployments tell which permit they used, or what is wrong. A rebuild tells it of earlier ones."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = (("deployment", "permit_id"), ("deployment", "unauthorised"), ("cell", "unauthorised"))


def upgrade() -> None:
    """Add the columns in both places."""
    for schema in ("projector", "projector_b"):
        for table, column in COLUMNS:
            op.execute(f"ALTER TABLE {schema}.{table} ADD COLUMN {column} text")
        op.execute(
            f"CREATE INDEX deployment_unauthorised ON {schema}.deployment (ledger, position)"
            " WHERE unauthorised IS NOT NULL"
        )
