"""The gatekeeper: judges release policies over the event history, and records each decision.

`policy` YAML → rules · `facts` histories → facts · `rules/` one rule → one result · `judge` all of
them → the decision · `calendars` freezes → who is held when, over the `windows` of one freeze,
`recurring` rules and time `zones` · `cel` expressions, `cel_facts` what they see, `cel_tree` what
they loop over (these eleven are pure) · `trying` drafts of expressions in a child process ·
`deciding` read, judge, record · `approving` a person's yes or no · `activating` policies into the
ledger · `watching` the feed for what moves a gate, `timers` judging again by itself, `store` what
both keep · `api` HTTP · `service` puts it together.
"""
