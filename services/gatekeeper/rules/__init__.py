"""Rules: each turns facts into one `RuleResult`, with a reason in plain words.

`approvals` people · `evidence` records · `matching` who counts for which rule · `words` phrases.
"""
