-- Who may do what in the schema `ledger`. A later object is granted by the migration that makes it.
--
-- Nobody but the owner has INSERT, UPDATE, DELETE or TRUNCATE on the log: events come in through
-- append_v1, which runs with the owner's rights and which rlg_appender alone may call. rlg_eraser may
-- DELETE bodies as far as grants go; the trigger append_only refuses it until redaction brings a
-- recorded way.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
    -- Only the form without IN SCHEMA can take away what PUBLIC gets by default.
    ALTER DEFAULT PRIVILEGES FOR ROLE rlg_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

    GRANT USAGE ON SCHEMA ledger
       TO rlg_appender, rlg_reader, rlg_courier, rlg_eraser, rlg_verifier;
    GRANT SELECT ON ledger.ledger, ledger.event, ledger.event_body, ledger.subject, ledger.history
       TO rlg_appender, rlg_reader, rlg_verifier;
    GRANT SELECT ON ledger.alembic_version TO rlg_reader, rlg_verifier;

    -- The courier carries: webhooks in, events out to Kafka. It also opens new ledgers.
    GRANT SELECT, INSERT (ledger_id, name) ON ledger.ledger TO rlg_courier;
    GRANT SELECT, INSERT (connection, ledger, delivery_key, headers, raw, raw_sha256, assurance),
          UPDATE (state, positions, adapter_version, settled_at)
       ON ledger.hook_delivery TO rlg_courier;
    GRANT SELECT, INSERT (delivery_id, reason, adapter_version),
          UPDATE (reason, adapter_version, state, replayed_at, replayed_by)
       ON ledger.quarantine TO rlg_courier;
    GRANT SELECT, INSERT (ledger_id, holder, fencing, expires_at),
          UPDATE (confirmed, holder, fencing, expires_at)
       ON ledger.relay TO rlg_courier;

    GRANT SELECT (ledger_id, position), DELETE ON ledger.event_body TO rlg_eraser;
END
$$
