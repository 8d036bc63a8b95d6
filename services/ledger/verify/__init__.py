"""Checks a ledger from its published tree down to its last column, and trusts neither.

`tally` versions without gaps (pure) · `portion` some bundles of the tree, and the log's rows for
them · `whole` all portions side by side, with a report.
"""
