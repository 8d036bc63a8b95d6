"""The log: ledgers, events, bodies, subjects, histories, and the one way to append."""

from __future__ import annotations

from alembic import op

from migrations.run import sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LEDGER = """
CREATE TABLE ledger.ledger (
    ledger_id  smallint    NOT NULL PRIMARY KEY CHECK (ledger_id > 0),
    name       text        NOT NULL UNIQUE COLLATE "C",
    epoch      integer     NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
# The unique key starts with the random part on purpose: ids that a client makes in order of time
# then fall on neighbouring index pages, whatever their source.
EVENT = """
CREATE TABLE ledger.event (
    ledger_id   smallint    NOT NULL,
    position    bigint      NOT NULL CHECK (position > 0),
    event_uuid  uuid        NOT NULL,
    source      text        NOT NULL COLLATE "C",
    type        text        NOT NULL COLLATE "C",
    subject_ids bigint[]    NOT NULL,
    versions    integer[]   NOT NULL,
    occurred_at timestamptz,
    recorded_at timestamptz NOT NULL,
    principal   text        NOT NULL,
    assurance   text        NOT NULL,
    causation   text,
    commitment  bytea       NOT NULL CHECK (length(commitment) = 32),
    PRIMARY KEY (ledger_id, position),
    UNIQUE (event_uuid, ledger_id, source),
    CHECK (cardinality(subject_ids) BETWEEN 1 AND 64
           AND cardinality(subject_ids) = cardinality(versions))
)
"""
EVENT_BODY = """
CREATE TABLE ledger.event_body (
    ledger_id smallint NOT NULL,
    position  bigint   NOT NULL,
    salt      bytea    NOT NULL CHECK (length(salt) = 16),
    body      bytea    NOT NULL,
    PRIMARY KEY (ledger_id, position)
)
"""
SUBJECT = """
CREATE TABLE ledger.subject (
    ledger_id  smallint NOT NULL,
    subject_id bigint   NOT NULL,
    key        text     NOT NULL COLLATE "C",
    PRIMARY KEY (ledger_id, subject_id),
    UNIQUE (key, ledger_id)
)
"""
# This order of the key's columns makes an index entry of 16 bytes; with ledger_id first it has 24.
HISTORY = """
CREATE TABLE ledger.history (
    ledger_id  smallint NOT NULL,
    subject_id bigint   NOT NULL,
    version    integer  NOT NULL CHECK (version > 0),
    position   bigint   NOT NULL,
    PRIMARY KEY (subject_id, ledger_id, version)
)
"""
# Rows never change, so a page can be frozen and marked all-visible soon after it has filled up.
VACUUM = """
ALTER TABLE ledger.{table} SET (
    autovacuum_vacuum_insert_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.02
)
"""
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{table}
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1()
"""
TABLES = ("event", "event_body", "subject", "history")


def upgrade() -> None:
    """Create the schema's objects."""
    for statement in (LEDGER, EVENT, EVENT_BODY, SUBJECT, HISTORY):
        op.execute(statement)
    # append_v1 comes with 0005, in the form that it has today: nothing appends before.
    for statement in sql("ledger", "refuse_change_v1.sql"):
        op.execute(statement)
    for table in TABLES:
        op.execute(VACUUM.format(table=table))
        op.execute(APPEND_ONLY.format(table=table))
