"""Webhooks: deliveries as they came, and the quarantine of what could not be understood."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# delivery_key recognises a repeated delivery; the ledger's event ids recognise a repeated fact.
DELIVERY = """
CREATE TABLE ledger.hook_delivery (
    delivery_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection      text        NOT NULL COLLATE "C",
    ledger          text        NOT NULL COLLATE "C",
    delivery_key    text        NOT NULL COLLATE "C",
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    headers         jsonb       NOT NULL,
    raw             bytea       NOT NULL,
    raw_sha256      text        NOT NULL CHECK (raw_sha256 ~ '^[0-9a-f]{64}$'),
    assurance       text        NOT NULL,
    state           text        NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'mapped', 'unmapped', 'quarantined')),
    positions       bigint[]    NOT NULL DEFAULT '{}',
    adapter_version text,
    settled_at      timestamptz,
    UNIQUE (connection, delivery_key)
)
"""
WAITING = """
CREATE INDEX hook_delivery_waiting ON ledger.hook_delivery (delivery_id) WHERE state = 'waiting'
"""
QUARANTINE = """
CREATE TABLE ledger.quarantine (
    quarantine_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id     bigint      NOT NULL UNIQUE REFERENCES ledger.hook_delivery,
    opened_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason          text        NOT NULL,
    adapter_version text        NOT NULL,
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed')),
    replayed_at     timestamptz,
    replayed_by     text
)
"""
OPEN = "CREATE INDEX quarantine_open ON ledger.quarantine (quarantine_id) WHERE state = 'open'"
# What came in is evidence: only how far we got with it may change.
EVIDENCE = """
CREATE TRIGGER evidence
BEFORE DELETE OR UPDATE OF connection, ledger, delivery_key, received_at, headers, raw, raw_sha256,
    assurance OR TRUNCATE ON ledger.hook_delivery
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""


def upgrade() -> None:
    """Create the schema's objects."""
    for statement in (DELIVERY, WAITING, QUARANTINE, OPEN, EVIDENCE):
        op.execute(statement)
