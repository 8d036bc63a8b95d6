-- What Kafka has acknowledged stays acknowledged; a fencing token is given once.
CREATE FUNCTION ledger.refuse_step_back_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: it would step back', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'check_violation';
END
$$
