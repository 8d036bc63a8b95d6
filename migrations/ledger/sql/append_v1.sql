-- Append a decided batch at the positions after the expected head, or nothing. The only way in.
--
-- outcome: `appended` with the batch's recorded_at; `moved`, the head is another one; `known`, an id is
-- stored already (asked for only when in_probe). After the last two nothing is stored.
-- Raises RL001 when the epoch is not the ledger's, RL002 when in_certified and no standby has to confirm.
-- Event n has in_counts[n] entries in the flat arrays in_subject_ids, in_versions and in_previous. The
-- latter is the entry that named the same subject before (from 1; 0: none in this batch). The k-th entry
-- with version 1 is a new subject and has the k-th of in_new_keys.
-- The caller decides. This function makes sure that no caller, however wrong, leaves a gap in the positions
-- or in a history, or orders a history otherwise. A violation raises, and the whole batch is undone.
CREATE FUNCTION ledger.append_v1(
    in_ledger_id       smallint,
    in_epoch           integer,
    in_certified       boolean,
    in_probe           boolean,
    in_head            bigint,
    in_head_commitment bytea,
    in_event_uuids     uuid[],
    in_sources         text[],
    in_types           text[],
    in_occurred_at     timestamptz[],
    in_principals      text[],
    in_assurances      text[],
    in_causations      text[],
    in_commitments     bytea[],
    in_salts           bytea[],
    in_bodies          bytea[],
    in_counts          integer[],
    in_subject_ids     bigint[],
    in_versions        integer[],
    in_previous        integer[],
    in_new_keys        text[],
    OUT outcome        text,
    OUT recorded_at    timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- A plan made while the tables were empty must not scan them when they have grown.
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    last_position   bigint;
    last_commitment bytea;
    last_recorded   timestamptz;
    present_epoch   integer;
    events          integer := cardinality(in_event_uuids);
    entries         integer := cardinality(in_subject_ids);
    broken          text;
    added           integer;
BEGIN
    -- First, and in a statement of its own: what follows sees everything that committed before.
    PERFORM pg_advisory_xact_lock(1818584167, in_ledger_id);

    SELECT epoch INTO present_epoch FROM ledger.ledger WHERE ledger_id = in_ledger_id;
    IF present_epoch IS DISTINCT FROM in_epoch THEN
        RAISE EXCEPTION 'ledger % is in epoch %, the caller in epoch %', in_ledger_id, present_epoch, in_epoch
            USING ERRCODE = 'RL001';
    END IF;
    IF in_certified AND (current_setting('synchronous_standby_names') = ''
                         OR current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')) THEN
        RAISE EXCEPTION 'no synchronous standby has to confirm what is committed'
            USING ERRCODE = 'RL002';
    END IF;

    SELECT position, commitment, recorded_at INTO last_position, last_commitment, last_recorded
      FROM ledger.event WHERE ledger_id = in_ledger_id ORDER BY position DESC LIMIT 1;
    IF coalesce(last_position, 0) <> in_head OR coalesce(last_commitment, '') <> in_head_commitment THEN
        outcome := 'moved';
        RETURN;
    END IF;
    IF in_probe AND EXISTS (
        SELECT FROM unnest(in_event_uuids, in_sources) AS asked(event_uuid, source)
         CROSS JOIN LATERAL (
               SELECT FROM ledger.event AS e
                WHERE e.event_uuid = asked.event_uuid AND e.ledger_id = in_ledger_id
                  AND e.source = asked.source LIMIT 1) AS stored) THEN
        outcome := 'known';
        RETURN;
    END IF;
    recorded_at := greatest(last_recorded, clock_timestamp());

    -- Each entry follows the one that it points back to, or what is stored. Two entries of one subject
    -- that both claim to follow what is stored, or follow what is not the end, meet the primary key.
    SELECT coalesce(key.subject_id::text, 'none') INTO broken
      FROM unnest(in_subject_ids, in_versions, in_previous)
           WITH ORDINALITY AS key(subject_id, version, previous, entry)
     WHERE CASE
           WHEN subject_id IS NULL OR version IS NULL OR previous IS NULL THEN true
           WHEN previous > 0 THEN
                previous >= entry OR in_subject_ids[previous] <> subject_id
                OR in_versions[previous] <> version - 1
           WHEN version > 1 THEN NOT EXISTS (
                SELECT FROM ledger.history AS h
                 WHERE h.subject_id = key.subject_id AND h.ledger_id = in_ledger_id
                   AND h.version = key.version - 1)
           ELSE version <> 1 OR previous <> 0 END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the history of subject % would have a gap or another order', broken
            USING ERRCODE = 'check_violation';
    END IF;

    -- Arrays of plpgsql are expanded objects, and a slice of one copies all of it: hence the flat copy.
    WITH flat AS MATERIALIZED (
        SELECT in_subject_ids AS ids, in_versions AS versions
    ), placed AS MATERIALIZED (
        SELECT n, in_head + n AS position, subjects, sum(subjects) OVER (ORDER BY n)::integer AS last
          FROM unnest(in_counts) WITH ORDINALITY AS counted(subjects, n)
    ), named AS (
        SELECT position, entry, entry - last + subjects - 1 AS nth
          FROM placed, generate_series(last - subjects + 1, last) AS entry
    ), newcomers AS (
        INSERT INTO ledger.subject (ledger_id, subject_id, key)
        SELECT in_ledger_id, subject_id, key
          FROM (SELECT subject_id, row_number() OVER (ORDER BY entry) AS k
                  FROM unnest(in_subject_ids, in_versions)
                       WITH ORDINALITY AS entries(subject_id, version, entry)
                 WHERE version = 1) AS first
          FULL JOIN unnest(in_new_keys) WITH ORDINALITY AS given(key, k) USING (k)
    ), histories AS (
        INSERT INTO ledger.history (ledger_id, subject_id, version, position)
        SELECT in_ledger_id, in_subject_ids[entry], in_versions[entry], position FROM named
    ), bodies AS (
        INSERT INTO ledger.event_body (ledger_id, position, salt, body)
        SELECT in_ledger_id, in_head + n, salt, body
          FROM unnest(in_salts, in_bodies) WITH ORDINALITY AS given(salt, body, n)
    )
    INSERT INTO ledger.event (
        ledger_id, position, event_uuid, source, type, subject_ids, versions,
        occurred_at, recorded_at, principal, assurance, causation, commitment)
    SELECT in_ledger_id, position, event_uuid, source, type,
           flat.ids[last - subjects + 1 : last], flat.versions[last - subjects + 1 : last],
           occurred_at, append_v1.recorded_at, principal, assurance, causation, commitment
      FROM unnest(in_event_uuids, in_sources, in_types, in_occurred_at, in_principals,
                  in_assurances, in_causations, in_commitments) WITH ORDINALITY
               AS given(event_uuid, source, type, occurred_at, principal,
                        assurance, causation, commitment, n)
      JOIN placed USING (n) CROSS JOIN flat
     ORDER BY n;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added <> events OR cardinality(in_salts) <> events OR cardinality(in_bodies) <> events
       OR cardinality(in_versions) <> entries OR cardinality(in_previous) <> entries
       OR entries <> (SELECT sum(n) FROM unnest(in_counts) AS n) THEN
        RAISE EXCEPTION 'the arrays of the batch do not fit together'
            USING ERRCODE = 'array_subscript_error';
    END IF;

    PERFORM pg_notify('ledger_appended', in_ledger_id || ' ' || in_head + events);
    outcome := 'appended';
END
$$
