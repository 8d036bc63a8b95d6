"""Transparency logs in the formats of C2SP (c2sp.org), from which everything here takes its terms.

`merkle` RFC 6962 hashes and proofs · `tiles` a tree as files · `keys` keys as text · `note` signed
notes · `cosignature` witnesses' signatures · `checkpoint` signed tree heads · `proof` one entry,
proven offline · `policy` whose signatures are enough · `witness` what a witness agrees to. Pure.
"""
