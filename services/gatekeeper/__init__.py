"""The gatekeeper: judges release policies over the event history, and records each decision.

Pure: `policy` YAML → rules, with its `params` · `testing` the tests in a document, told from
`samples` · `proposals` what a text lacks to judge · `folding` histories → `facts`, by the handlers
in `folds/`, of `records` and `people` · `rules/` one rule → one result, `applying` all of a gate,
`judge` → the decision · `permits`, `linting` · `active` the texts that judge · `calendars` freezes
→ who is held when, over the `windows` of one freeze, `recurring` rules and time `zones` · `cel`
expressions, `cel_facts` what they see, `cel_tree` what they loop over.

Not pure: `reading` which histories a question rests on, `drafting` what they say so far ·
`deciding` read, judge, record · `approving` a person's yes or no, `acts` what else people say,
`boards` those who sit together · `deploying` permits used up ·
`replaying` and `backtesting` decisions judged again, over `points` · `trying` drafts of policies in
a child process · `governing` the life of a policy, `activating` the files of the folder ·
`watching` the feed for what moves a gate, `timers` judging again by itself, `store` what both
keep · `api`, `acts_api`, `board_api`, `policies_api` HTTP · `service` all together.
"""
