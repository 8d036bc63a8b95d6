-- Append a decided batch at the positions after the expected head, or nothing. The only way in.
--
-- outcome: `appended` with the batch's recorded_at; `moved`, the head is another one; `known`, an id is
-- stored already (asked for only when in_probe). After the last two nothing is stored.
-- Raises RL001 when the epoch is not the ledger's, RL002 when in_certified and no standby has to confirm.
-- No argument is NULL; elements may be where the column allows it.
-- An entry is one subject of one event: in_subject_ids and in_versions have the entries of all events one
-- after another, and in_lasts[n] is the last one of event n. The k-th entry with version 1 is a new subject
-- and has the k-th of in_new_keys.
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
    in_lasts           integer[],
    in_subject_ids     bigint[],
    in_versions        integer[],
    in_new_keys        text[],
    OUT outcome        text,
    OUT recorded_at    timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- A plan made while the tables were empty must not scan them when they have grown.
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    last_position   bigint;
    last_commitment bytea;
    last_recorded   timestamptz;
    present_epoch   integer;
    events          integer := cardinality(in_event_uuids);
    entries         integer := cardinality(in_subject_ids);
    newcomers       integer := cardinality(in_new_keys);
BEGIN
    IF num_nulls(in_ledger_id, in_epoch, in_certified, in_probe, in_head, in_head_commitment, in_event_uuids,
                 in_sources, in_types, in_occurred_at, in_principals, in_assurances, in_causations,
                 in_commitments, in_salts, in_bodies, in_lasts, in_subject_ids, in_versions,
                 in_new_keys) > 0 THEN
        RAISE EXCEPTION 'an argument is NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;

    -- First, and in a statement of its own: what follows sees everything that committed before.
    PERFORM pg_advisory_xact_lock(1818584167, in_ledger_id);

    SELECT epoch, position, commitment, recorded_at
      INTO present_epoch, last_position, last_commitment, last_recorded
      FROM ledger.ledger
      LEFT JOIN LATERAL (
           SELECT position, commitment, recorded_at FROM ledger.event
            WHERE ledger_id = in_ledger_id ORDER BY position DESC LIMIT 1) AS head ON true
     WHERE ledger_id = in_ledger_id;
    IF present_epoch IS DISTINCT FROM in_epoch THEN
        RAISE EXCEPTION 'ledger % is in epoch %, the caller in epoch %', in_ledger_id, present_epoch, in_epoch
            USING ERRCODE = 'RL001';
    END IF;
    IF in_certified AND (current_setting('synchronous_standby_names') = ''
                         OR current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')) THEN
        RAISE EXCEPTION 'no synchronous standby has to confirm what is committed'
            USING ERRCODE = 'RL002';
    END IF;
    IF coalesce(last_position, 0) <> in_head OR coalesce(last_commitment, '') <> in_head_commitment THEN
        outcome := 'moved';
        RETURN;
    END IF;
    IF in_probe AND EXISTS (
        SELECT FROM (SELECT generate_series(1, events) AS n) AS asked
         CROSS JOIN LATERAL (
               SELECT FROM ledger.event
                WHERE event_uuid = in_event_uuids[n] AND ledger_id = in_ledger_id
                  AND source = in_sources[n] LIMIT 1) AS stored) THEN
        outcome := 'known';
        RETURN;
    END IF;
    IF events = 0 OR in_lasts[events] IS DISTINCT FROM entries
       OR events <> ANY (ARRAY[
            cardinality(in_sources), cardinality(in_types), cardinality(in_occurred_at),
            cardinality(in_principals), cardinality(in_assurances), cardinality(in_causations),
            cardinality(in_commitments), cardinality(in_salts), cardinality(in_bodies), cardinality(in_lasts)])
       OR entries <> cardinality(in_versions) THEN
        RAISE EXCEPTION 'the arrays of the batch do not fit together'
            USING ERRCODE = 'array_subscript_error';
    END IF;
    recorded_at := greatest(last_recorded, clock_timestamp());

    IF newcomers > 0 THEN
        INSERT INTO ledger.subject (ledger_id, subject_id, key)
        SELECT in_ledger_id, subject_id, key
          FROM (SELECT subject_id, row_number() OVER (ORDER BY entry) AS k
                  FROM unnest(in_subject_ids, in_versions)
                       WITH ORDINALITY AS entries(subject_id, version, entry)
                 WHERE version = 1) AS first
          FULL JOIN unnest(in_new_keys) WITH ORDINALITY AS given(key, k) USING (k);
    END IF;

    -- A series and subscripts, not unnest: that would lay each array out in a table of its own first.
    -- (SELECT array) is a flat copy, made once: a slice of what plpgsql holds copies all of it, each time.
    WITH histories AS (
        INSERT INTO ledger.history (ledger_id, subject_id, version, position)
        SELECT in_ledger_id, in_subject_ids[entry], in_versions[entry], in_head + n
          FROM (SELECT n, generate_series(coalesce(in_lasts[n - 1], 0) + 1, in_lasts[n]) AS entry
                  FROM (SELECT generate_series(1, events) AS n) AS counted) AS entries
    ), bodies AS (
        INSERT INTO ledger.event_body (ledger_id, position, salt, body)
        SELECT in_ledger_id, in_head + n, in_salts[n], in_bodies[n]
          FROM (SELECT generate_series(1, events) AS n) AS counted
    )
    INSERT INTO ledger.event (
        ledger_id, position, event_uuid, source, type, subject_ids, versions,
        occurred_at, recorded_at, principal, assurance, causation, commitment)
    SELECT in_ledger_id, in_head + n, in_event_uuids[n], in_sources[n], in_types[n],
           (SELECT in_subject_ids)[coalesce(in_lasts[n - 1], 0) + 1 : in_lasts[n]],
           (SELECT in_versions)[coalesce(in_lasts[n - 1], 0) + 1 : in_lasts[n]],
           in_occurred_at[n], append_v1.recorded_at, in_principals[n], in_assurances[n],
           in_causations[n], in_commitments[n]
      FROM (SELECT generate_series(1, events) AS n) AS counted;

    -- Every version but a new subject's first follows one that an earlier event has. With the primary key
    -- of history, which lets none stand twice, each history is then 1..n in the order of the positions.
    IF EXISTS (
        SELECT FROM (SELECT in_head + n AS position,
                            generate_series(coalesce(in_lasts[n - 1], 0) + 1, in_lasts[n]) AS entry
                       FROM (SELECT generate_series(1, events) AS n) AS counted) AS placed
         WHERE CASE WHEN in_versions[entry] = 1 THEN newcomers = 0
               ELSE (SELECT h.position FROM ledger.history AS h
                      WHERE h.subject_id = in_subject_ids[entry] AND h.ledger_id = in_ledger_id
                        AND h.version = in_versions[entry] - 1) < placed.position IS NOT TRUE
               END) THEN
        RAISE EXCEPTION 'a version does not follow the one before it' USING ERRCODE = 'check_violation';
    END IF;

    PERFORM pg_notify('ledger_appended', in_ledger_id || ' ' || in_head + events);
    outcome := 'appended';
END
$$
