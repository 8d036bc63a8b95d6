"""The read models, their cursor and what they could not fold."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA IF NOT EXISTS projector;

CREATE TABLE projector.cursor (
    projection text, ledger text,
    position bigint NOT NULL CHECK (position >= 0),
    fencing bigint NOT NULL,
    head bigint NOT NULL,
    behind_since timestamptz,
    updated_at timestamptz,
    PRIMARY KEY (projection, ledger)
) WITH (fillfactor = 50);

CREATE TABLE projector.parked (
    ledger text, position bigint,
    type text NOT NULL, error text NOT NULL, parked_at timestamptz NOT NULL,
    PRIMARY KEY (ledger, position)
);

CREATE TABLE projector.release (
    ledger text, release_id text,
    name text NOT NULL, release_type text NOT NULL, risk text, state text NOT NULL,
    services text[] NOT NULL, owner text NOT NULL, version text,
    gates jsonb NOT NULL, production jsonb NOT NULL, verdict text, summary text,
    planned_at timestamptz NOT NULL, state_since timestamptz NOT NULL, closed boolean NOT NULL,
    first_position bigint NOT NULL,
    last_event_at timestamptz NOT NULL, last_position bigint NOT NULL, deployed_at timestamptz,
    description text, scheduled jsonb, risk_factors text[] NOT NULL, risk_score double precision,
    manifest_digest text, artifacts text[] NOT NULL, plans jsonb NOT NULL,
    people text[] NOT NULL, linked text[] NOT NULL,
    PRIMARY KEY (ledger, release_id)
);
CREATE INDEX release_by_activity ON projector.release (ledger, last_position DESC);

CREATE TABLE projector.link (
    ledger text, subject text,
    releases text[] NOT NULL, also text[] NOT NULL,
    PRIMARY KEY (ledger, subject)
);

CREATE TABLE projector.gate (
    ledger text, release_id text, gate text, environment text,
    decision_id text NOT NULL, position bigint NOT NULL, recorded_at timestamptz NOT NULL,
    verdict text NOT NULL, since timestamptz NOT NULL, judged integer NOT NULL,
    who text[] NOT NULL, roles text[] NOT NULL, decision jsonb NOT NULL,
    PRIMARY KEY (ledger, release_id, gate, environment)
);
CREATE INDEX gate_closed ON projector.gate (ledger, verdict)
    WHERE verdict IN ('pending', 'deny');

CREATE TABLE projector.deployment (
    ledger text, deployment_id text, service text,
    environment text NOT NULL, tier text NOT NULL, kind text NOT NULL, planned boolean NOT NULL,
    state text NOT NULL, release_id text, intent_id text, artifact_digest text, repo text,
    head_sha text, remediates text, queued_at timestamptz, started_at timestamptz,
    finished_at timestamptz, position bigint NOT NULL, uri text,
    first boolean NOT NULL, previous_digest text, previous_sha text,
    PRIMARY KEY (ledger, deployment_id, service)
);
CREATE INDEX deployment_by_release ON projector.deployment (ledger, release_id);
CREATE INDEX deployment_successes ON projector.deployment (ledger, tier, finished_at)
    WHERE state = 'success';

CREATE TABLE projector.cell (
    ledger text, service text, environment text,
    tier text NOT NULL, release_id text, version text, deployment_id text NOT NULL,
    state text NOT NULL, at timestamptz NOT NULL, digest text, head_sha text,
    succeeded boolean NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (ledger, service, environment)
);

CREATE TABLE projector.service (
    ledger text, service text, first_at timestamptz NOT NULL,
    PRIMARY KEY (ledger, service)
);

CREATE TABLE projector.change (
    ledger text, repo text, change_id text,
    title text, author text, head_sha text, source_ref text, target text, merge_sha text,
    merged_at timestamptz, first_commit_at timestamptz, commit_shas text[] NOT NULL,
    position bigint,
    PRIMARY KEY (ledger, repo, change_id)
);

CREATE TABLE projector.matter (
    ledger text, kind text, key text,
    open boolean NOT NULL, closed_at timestamptz, until timestamptz, position bigint NOT NULL,
    doc jsonb NOT NULL,
    PRIMARY KEY (ledger, kind, key)
);
CREATE INDEX matter_open ON projector.matter (ledger, kind) WHERE open;

CREATE TABLE projector.entry (
    ledger text, position bigint,
    type text NOT NULL, phase text NOT NULL, tone text NOT NULL, title text NOT NULL,
    detail text NOT NULL, principal text NOT NULL, assurance text NOT NULL,
    occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL,
    subjects text[] NOT NULL, uri text,
    PRIMARY KEY (ledger, position)
);
CREATE INDEX entry_by_subject ON projector.entry USING gin (subjects);

CREATE TABLE projector.commit (
    ledger text, position bigint, ordinal integer,
    repo text NOT NULL, ref text NOT NULL, sha text NOT NULL, committed_at timestamptz,
    pushed_at timestamptz NOT NULL, default_branch boolean NOT NULL,
    PRIMARY KEY (ledger, position, ordinal)
);
CREATE INDEX commit_by_repo ON projector.commit (ledger, repo, position, ordinal);
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("cursor", "parked", "release", "link", "gate", "deployment", "cell", "service",
                  "change", "matter", "entry", "commit"):  # fmt: skip
        op.execute(f"DROP TABLE projector.{table}")
