"""The demo: ninety days of three services, sent as the real senders would send them.

Cast: `people` · `acme` the services · `work` the nouns · `derive` ids from the seed.
Plan: `schedule` which releases, when · `branches` one change · `story` the chapters.
Steps (`steps`): `life` one release · `plans`, `evidence`, `boards`, `reviews` its phases · `arcs`
what goes otherwise · `deliveries` its webhooks · `company` what is not part of one release.
Payloads: `github` and `github_…` · `alertmanager` · `native` CloudEvents for what has no sender.
Sending: `load` the loader · `courier` HTTP · `telling` the order of steps, and the summary.
"""
