-- Begin a ledger's next epoch: former and present number, and the head after which it begins.
--
-- Under the ledger's lock: no append of the former epoch commits after this has.
CREATE FUNCTION ledger.begin_epoch_v1(
    in_ledger  text,
    in_reason  text,
    in_person  text,
    OUT former     integer,
    OUT present    integer,
    OUT head       bigint,
    OUT commitment bytea
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_id smallint;
BEGIN
    SELECT ledger_id INTO found_id FROM ledger.ledger WHERE name = in_ledger;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no ledger %', quote_literal(in_ledger) USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM pg_advisory_xact_lock(1818584167, found_id);

    SELECT e.position, e.commitment INTO head, commitment
      FROM ledger.event AS e WHERE e.ledger_id = found_id ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    commitment := coalesce(commitment, '');

    UPDATE ledger.ledger AS l SET epoch = l.epoch + 1 WHERE l.ledger_id = found_id
    RETURNING l.epoch - 1, l.epoch INTO former, present;

    INSERT INTO ledger.epoch (ledger_id, epoch, after_position, commitment, reason, person)
    VALUES (found_id, present, head, commitment, in_reason, in_person);
END
$$
