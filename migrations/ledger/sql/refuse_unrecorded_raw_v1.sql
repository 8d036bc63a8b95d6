-- The bytes of a delivery are emptied, and only when an event that came from it was redacted.
CREATE FUNCTION ledger.refuse_unrecorded_raw_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF new.raw <> '' OR new.headers <> '{}' OR NOT EXISTS (
        SELECT FROM ledger.ledger AS l, unnest(old.positions) AS came(position)
         WHERE l.name = old.ledger AND ledger.redacted_v1(l.ledger_id, came.position)) THEN
        RAISE EXCEPTION 'UPDATE on ledger.hook_delivery is refused: the log is append-only, deliveries are its evidence'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN new;
END
$$
