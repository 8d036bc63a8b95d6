-- Append a decided batch at the positions after the expected head, or nothing.
--
-- Returns the batch's recorded_at, or NULL when the head has moved: then nothing is stored.
-- Event n of the batch has subject_counts[n] entries in the flat arrays subject_ids and versions.
-- The caller decides; this function makes sure that no caller, however wrong, leaves a gap in the
-- positions or in a history, or orders a history otherwise. A violation raises, and the whole batch is undone.
CREATE FUNCTION ledger.append_v1(
    in_ledger_id      smallint,
    in_head           bigint,
    in_head_commitment bytea,
    in_event_uuids    uuid[],
    in_sources        text[],
    in_types          text[],
    in_occurred_at    timestamptz[],
    in_principals     text[],
    in_assurances     text[],
    in_causations     text[],
    in_commitments    bytea[],
    in_salts          bytea[],
    in_bodies         bytea[],
    in_subject_counts integer[],
    in_subject_ids    bigint[],
    in_versions       integer[],
    in_new_ids        bigint[],
    in_new_keys       text[]
) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    last_position   bigint := 0;
    last_commitment bytea := '';
    last_recorded   timestamptz := '-infinity';
    moment          timestamptz;
    head            bigint := in_head + cardinality(in_event_uuids);
    broken          bigint;
BEGIN
    -- First, and in a statement of its own: what follows sees everything that committed before.
    PERFORM pg_advisory_xact_lock(1818584167, in_ledger_id);

    SELECT position, commitment, recorded_at
      INTO last_position, last_commitment, last_recorded
      FROM ledger.event WHERE ledger_id = in_ledger_id ORDER BY position DESC LIMIT 1;
    IF NOT FOUND THEN
        last_position := 0; last_commitment := ''; last_recorded := '-infinity';
    END IF;
    IF last_position <> in_head OR last_commitment <> in_head_commitment THEN
        RETURN NULL;
    END IF;
    moment := greatest(last_recorded, clock_timestamp());

    IF cardinality(in_subject_counts) <> cardinality(in_event_uuids)
       OR cardinality(in_bodies) <> cardinality(in_event_uuids)
       OR cardinality(in_subject_ids) <> (SELECT sum(n) FROM unnest(in_subject_counts) AS n) THEN
        RAISE EXCEPTION 'the arrays of the batch do not fit together'
            USING ERRCODE = 'array_subscript_error';
    END IF;

    -- Each history must go on where it stands, without a gap and in the order of the positions.
    -- "Too low" is left to the primary key.
    SELECT given.subject_id INTO broken
      FROM (SELECT subject_id, version, first_value(version) OVER ordered AS first,
                   row_number() OVER ordered AS nth
              FROM unnest(in_subject_ids, in_versions)
                   WITH ORDINALITY AS flat(subject_id, version, entry)
            WINDOW ordered AS (PARTITION BY subject_id ORDER BY entry)) AS given
     WHERE given.version <> given.first + given.nth - 1
        OR (given.nth = 1 AND given.version > 1 AND NOT EXISTS (
                SELECT FROM ledger.history
                 WHERE subject_id = given.subject_id AND ledger_id = in_ledger_id
                   AND version = given.version - 1))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the history of subject % would have a gap or another order', broken
            USING ERRCODE = 'check_violation';
    END IF;

    INSERT INTO ledger.subject (ledger_id, subject_id, key)
    SELECT in_ledger_id, id, key FROM unnest(in_new_ids, in_new_keys) AS new(id, key);

    WITH placed AS (
        SELECT n, in_head + n AS position,
               sum(subjects) OVER (ORDER BY n) - subjects + 1 AS first,
               sum(subjects) OVER (ORDER BY n) AS last
          FROM unnest(in_subject_counts) WITH ORDINALITY AS counted(subjects, n)
    ), histories AS (
        INSERT INTO ledger.history (ledger_id, subject_id, version, position)
        SELECT in_ledger_id, in_subject_ids[entry], in_versions[entry], position
          FROM placed, generate_series(first, last) AS entry
    ), bodies AS (
        INSERT INTO ledger.event_body (ledger_id, position, salt, body)
        SELECT in_ledger_id, in_head + n, salt, body
          FROM unnest(in_salts, in_bodies) WITH ORDINALITY AS given(salt, body, n)
    )
    INSERT INTO ledger.event (
        ledger_id, position, event_uuid, source, type, subject_ids, versions,
        occurred_at, recorded_at, principal, assurance, causation, commitment)
    SELECT in_ledger_id, position, event_uuid, source, type,
           in_subject_ids[first:last], in_versions[first:last],
           occurred_at, moment, principal, assurance, causation, commitment
      FROM unnest(in_event_uuids, in_sources, in_types, in_occurred_at, in_principals,
                  in_assurances, in_causations, in_commitments) WITH ORDINALITY
               AS given(event_uuid, source, type, occurred_at, principal,
                        assurance, causation, commitment, n)
      JOIN placed USING (n)
     ORDER BY n;

    PERFORM pg_notify('ledger_appended', in_ledger_id || ' ' || head);
    RETURN moment;
END
$$
