"""Plumbing that has never heard of a release.

`clock` time · `settings` environment · `identity` who asks · `problems` errors out ·
`service` an app with background work · `hot` routes in front of it · `gone` clients that leave ·
`observing` what a request leaves behind · `listening` the server · `database` PostgreSQL ·
`kafka` brokers · `ports` what services ask of each other · `remote` the same over HTTP ·
`wire` one exchange of it · `logs` · `metrics`.
"""
