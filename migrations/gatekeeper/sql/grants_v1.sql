-- rlg_gatekeeper writes and empties its caches. It cannot change their shape, and it has nothing in
-- any other schema. A later table is granted by the migration that makes it.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA gatekeeper FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA gatekeeper FROM PUBLIC;
    GRANT USAGE ON SCHEMA gatekeeper TO rlg_gatekeeper;
    GRANT SELECT, INSERT, UPDATE, DELETE ON gatekeeper.cursor TO rlg_gatekeeper;
    GRANT SELECT, INSERT, UPDATE, DELETE ON gatekeeper.gate_timer TO rlg_gatekeeper;
    GRANT SELECT, INSERT, UPDATE, DELETE ON gatekeeper.gate_interest TO rlg_gatekeeper;
END
$$
