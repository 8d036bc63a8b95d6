-- Remove the content of one event whose redaction is recorded, and the raw webhook that it came from.
-- Returns whether there was anything left to remove.
CREATE OR REPLACE FUNCTION ledger.erase_v1(in_ledger_id smallint, in_position bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed boolean;
BEGIN
    DELETE FROM ledger.event_body WHERE ledger_id = in_ledger_id AND position = in_position;
    removed := FOUND;
    UPDATE ledger.hook_delivery AS d SET raw = '', headers = '{}'
      FROM ledger.ledger AS l
     WHERE l.ledger_id = in_ledger_id AND d.ledger = l.name AND d.positions @> ARRAY[in_position]
       AND d.raw <> '';
    RETURN removed OR FOUND;
END
$$
