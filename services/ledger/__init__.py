"""The ledger: every fact about a release, once, in order, for ever.

`api` and `bindings` take requests · `body` makes what is stored · `appender` forms batches ·
`model` decides (pure) · `store` reads and writes PostgreSQL · `tables` its shape · `wake` tells
readers of news · `service` puts it together. Kafka: `relay` out, `ingest` in. Webhooks: `hooks/`.
"""
