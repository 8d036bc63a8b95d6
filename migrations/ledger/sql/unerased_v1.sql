-- Positions whose redaction is recorded and of which a body or a raw webhook is still there: a crash came
-- between, or the webhook's delivery was settled later.
CREATE FUNCTION ledger.unerased_v1(in_ledger_id smallint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT named.position
      FROM ledger.subject AS s
      JOIN ledger.ledger AS l USING (ledger_id)
     CROSS JOIN LATERAL (SELECT substr(s.key, 7)::bigint AS position OFFSET 0) AS named
     WHERE s.ledger_id = in_ledger_id AND s.key >= 'event:' AND s.key < 'event;'
       AND s.key ~ '^event:[1-9][0-9]{0,17}$' AND ledger.redacted_v1(in_ledger_id, named.position)
       AND (EXISTS (SELECT FROM ledger.event_body AS b
                     WHERE b.ledger_id = in_ledger_id AND b.position = named.position)
         OR EXISTS (SELECT FROM ledger.hook_delivery AS d
                     WHERE d.ledger = l.name AND d.positions @> ARRAY[named.position] AND d.raw <> ''))
$$
