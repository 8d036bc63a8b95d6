"""The proof: seals the log in a Merkle tree that outsiders check with programs of their own.

`naming` subject uids · `leaves` rows → leaves (pure) · `source` reads the log · `state` what the
sealer remembers, outside the database · `shelf` where tiles lie · `sealer` the loop, `resume` what
it takes up · `keys`, `rotation` their end, `succession` how to follow it · `gap` a log's end.
"""
