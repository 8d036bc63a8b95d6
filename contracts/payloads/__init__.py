"""Payload models, one file per phase of a release's life.

`plan` scope, risk, schedule · `build` changes, pipelines, artifacts · `readiness` gates,
approvals, exceptions, freezes, policies · `deploy` deployments, rollouts, flags ·
`operate` incidents and alerts · `review` retro, actions, survey · `ledger` the ledger's own.
Field names follow CDEvents 0.5 where it has the word.
"""
