"""Evidence packs: all that is recorded of a release, with everything it takes to check it.

`collect` reads what belongs in · `attest` statements about decisions and the manifest, signed
(DSSE) · `pack` writes the zip. `verify-proof.sh` and `count-subject.sh` go into every pack.
"""
