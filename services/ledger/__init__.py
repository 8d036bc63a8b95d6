"""The ledger: every fact about a release, once, in order, for ever.

In: `hot` (the busiest routes), `api`, `asking` and `bindings` (what a request says), `admission`
(what from whom) → `body` makes what is stored → `appender` puts it into the `backlog` → `pipeline`
forms batches, two on their way at a time. `decision` decides over an `overlay` of values in `model`
(all three pure); `planning` and `loading` ask the database for what is not known; `writer` stores;
`settling` is the slow and sure way after a failure; `answering` gives each caller its `receipt`.
Safe: `preflight` and `rehearsal` before a start, `certify` (standbys), `epoch` and `fence`.
Out: `store` and `queries` read over a `pool`, `placement` and `databases` say where a ledger lives,
`wake` tells of news, `answers` writes the JSON.
Kafka: `relay` (by `lease`) out, `ingest` in, of registered `sources`. Webhooks: `hooks/`.
`service` puts it together.
"""
