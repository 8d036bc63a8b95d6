"""Webhooks in: prove the sender, keep the bytes, answer, and only then understand.

The way of a delivery: `api` takes it → `signature` proves it over the raw bytes → `store` keeps
bytes and headers → 202 → `deliveries` finds it → `recorder` maps it by its connection's adapter and
appends the facts, or gives the reason for which it goes to the `quarantine`.

Pure, no I/O: `adapter` what an adapter is · `reading` fields and times out of foreign JSON ·
`github` with `github_hook`, `github_changes`, `github_deployments`, `github_reviews` ·
`alertmanager` · `cloudevents` · `kinds` which is which · `delivery` its states. I/O: `connections`
settings · `store` SQL · `deliveries` the loop · `recorder` · `quarantine` · `api` routes.
"""
