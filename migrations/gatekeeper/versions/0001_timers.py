"""When each open gate is judged again, what it rests on, and how far the feed was read."""

from __future__ import annotations

from alembic import op

from migrations import roles
from migrations.run import sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA IF NOT EXISTS gatekeeper;

CREATE TABLE gatekeeper.cursor (
    ledger text PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0)
) WITH (fillfactor = 50);

CREATE TABLE gatekeeper.gate_timer (
    ledger text, release text, gate text,
    decision_position bigint NOT NULL,
    fires_at timestamptz,
    moved bigint,
    settles_at timestamptz,
    due_at timestamptz GENERATED ALWAYS AS (least(fires_at, settles_at)) STORED,
    claimed_until timestamptz,
    PRIMARY KEY (ledger, release, gate)
) WITH (fillfactor = 50);
CREATE INDEX gate_timer_due ON gatekeeper.gate_timer (ledger, due_at);

CREATE TABLE gatekeeper.gate_interest (
    ledger text, subject text, release text, gate text,
    PRIMARY KEY (ledger, subject, release, gate)
);
CREATE INDEX gate_interest_by_gate ON gatekeeper.gate_interest (ledger, release, gate);
"""


def upgrade() -> None:
    """Make the tables, create the roles that are missing, and grant."""
    for statement in TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    roles.ensure(op.get_bind())
    for statement in sql("gatekeeper", "grants_v1.sql"):
        op.execute(statement)
