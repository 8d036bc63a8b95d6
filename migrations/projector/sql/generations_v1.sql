-- Read models are built anew in one of two places, `projector` and `projector_b`, while the other
-- one is live; see services/projector/generations.py. Whoever changes a read model's table later
-- changes it in both.
DO $$
DECLARE
    name text;
BEGIN
    ALTER TABLE projector.parked ADD COLUMN subject text NOT NULL DEFAULT '';
    CREATE INDEX parked_by_subject ON projector.parked (ledger, subject);

    CREATE TABLE projector.generation (
        ledger text, number integer,
        slot text NOT NULL CHECK (slot IN ('projector', 'projector_b')),
        state text NOT NULL CHECK (state IN ('building', 'live', 'kept', 'dropped')),
        begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        live_since timestamptz,
        digest text,
        PRIMARY KEY (ledger, number)
    );
    CREATE UNIQUE INDEX generation_live ON projector.generation (ledger) WHERE state = 'live';
    CREATE UNIQUE INDEX generation_slot ON projector.generation (ledger, slot)
        WHERE state <> 'dropped';

    CREATE SCHEMA projector_b;
    FOREACH name IN ARRAY ARRAY['parked', 'release', 'link', 'gate', 'deployment', 'cell',
                                'service', 'change', 'matter', 'entry', 'commit']
    LOOP
        EXECUTE format('CREATE TABLE projector_b.%I (LIKE projector.%I INCLUDING ALL)', name, name);
    END LOOP;

    REVOKE ALL ON SCHEMA projector_b FROM PUBLIC;
    GRANT USAGE ON SCHEMA projector_b TO rlg_projector;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA projector_b TO rlg_projector;
    GRANT SELECT, INSERT, UPDATE ON projector.generation TO rlg_projector;
END
$$
