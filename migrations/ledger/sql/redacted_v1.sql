-- Say whether a redaction of one event is recorded: the ledger's own event of that type, in the history of
-- event:<position> and in no other.
CREATE OR REPLACE FUNCTION ledger.redacted_v1(in_ledger_id smallint, in_position bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM ledger.subject AS s
          JOIN ledger.history AS h USING (ledger_id, subject_id)
          JOIN ledger.event AS e ON e.ledger_id = h.ledger_id AND e.position = h.position
         WHERE s.ledger_id = in_ledger_id AND s.key = 'event:' || in_position
           AND e.type = 'org.releaseledger.event.redacted.v1' AND e.source = '/ledger/redactions'
           AND e.subject_ids = ARRAY[s.subject_id])
$$
