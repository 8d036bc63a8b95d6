"""Plumbing that has never heard of a release.

`clock` time · `settings` environment · `identity` who asks · `problems` errors out ·
`service` an app with background work · `database` PostgreSQL · `kafka` brokers ·
`ports` what services ask of each other · `remote` the same over HTTP · `logs` · `metrics`.
"""
