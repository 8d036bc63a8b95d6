"""The gatekeeper: judges release policies over the event history, and records each decision.

`policy` YAML → rules · `facts` histories → facts · `rules/` one rule → one result · `judge` all of
them → the decision · `calendars` freezes → who is held when, over the `windows` of one freeze,
`recurring` rules and time `zones` (these eight are pure) · `deciding` read, judge, record ·
`approving` a person's yes or no · `activating` policies into the ledger · `api` HTTP · `service`
puts it together.
"""
