-- rlg_projector writes and empties the read models. It cannot change their shape, and it has
-- nothing in the schema `ledger`. A later table is granted by the migration that makes it.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA projector FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA projector FROM PUBLIC;
    GRANT USAGE ON SCHEMA projector TO rlg_projector;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA projector TO rlg_projector;
    REVOKE INSERT, UPDATE, DELETE ON projector.alembic_version FROM rlg_projector;
END
$$
