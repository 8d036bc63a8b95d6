-- A body goes only when its redaction is recorded. So no grant and no owner can remove what nobody has
-- answered for.
CREATE FUNCTION ledger.refuse_unrecorded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ledger.redacted_v1(old.ledger_id, old.position) THEN
        RAISE EXCEPTION 'DELETE on ledger.event_body is refused: the log is append-only, and no redaction of % is recorded',
            old.position USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN old;
END
$$
