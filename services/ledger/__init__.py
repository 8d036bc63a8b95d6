"""The ledger: every fact about a release, once, in order, for ever.

In: `hot` (the busiest routes), `api`, `asking` and `bindings` (what a request says), `admission`
(what from whom) → `body` makes what is
stored → `appender` takes batches from the `backlog`, `model` decides (pure), `writer` stores.
Out: `store` reads (`tables` its shape), `wake` tells of news, `answers` writes the JSON.
Kafka: `relay` out, `ingest` in. Webhooks: `hooks/`. `service` puts it together.
"""
