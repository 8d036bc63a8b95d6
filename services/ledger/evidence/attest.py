"""Signed statements: the manifest, and gate decisions as SLSA verification summaries. No I/O.

Formats: in-toto Statement v1, SLSA VSA v1 (slsa.dev/verification_summary/v1), in DSSE envelopes.
A denial is attested like an allow. Inputs are not listed one by one (the predicate would have to
list all of them): `read_set` names each history that was read with its version, which is all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signer

from contracts import ijson
from services.kit.tlog.checkpoint import Checkpoint
from services.ledger.sealing.leaves import Row

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
MANIFEST = "https://releaseledger.org/evidence-pack/v1"
GATE = "https://releaseledger.org/gate-decision/v1"
DECIDED = "org.releaseledger.decision.recorded.v1"


def envelope(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """Sign a statement (DSSE)."""
    signed = Envelope(ijson.dumps(dict(statement)), PAYLOAD_TYPE, {})
    signed.sign(signer)
    return json.dumps(signed.to_dict(), indent=1, sort_keys=True).encode() + b"\n"


def manifest(subject: str, head: Checkpoint, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the statement about a pack's files: path → SHA-256, hex."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digests[name]}} for name in digests],
        "predicateType": MANIFEST,
        "predicate": {
            "about": subject,
            "log": head.origin,
            "size": head.size,
            "root": head.root.hex(),
        },
    }


def summary(row: Row, head: Checkpoint) -> dict[str, Any] | None:
    """Return the verification summary of a recorded decision; None for any other event."""
    if row.type != DECIDED or row.body is None:
        return None
    said = json.loads(row.body)["event"]["data"]["decision"]
    passed = said["decision"] == "allow"
    return {
        "_type": STATEMENT,
        "subject": [{"name": f"release:{said['release']}", "digest": _digest(said, row)}],
        "predicateType": SUMMARY,
        "predicate": {
            "verifier": {"id": f"https://{head.origin}", "version": {"engine": said["engine"]}},
            "timeVerified": said["as_of"],
            "resourceUri": f"release:{said['release']}",
            "policy": _policy(said.get("policy")),
            "verificationResult": "PASSED" if passed else "FAILED",
            "verifiedLevels": [f"GATE:{said['gate']}"] if passed else [],
            "slsaVersion": "1.1",
            GATE: {
                "verdict": said["decision"],
                "gate": said["gate"],
                "environment": said["environment"],
                "summary": said["summary"],
                "read_set": said["read_set"],
                "facts_digest": said["facts_digest"],
                "position": row.position,
                "commitment": row.commitment.hex(),
                "log": head.origin,
            },
        },
    }


def _digest(said: Mapping[str, Any], row: Row) -> dict[str, str]:
    """Return what was judged; before there is a candidate, the decision's own commitment."""
    algorithm, _, value = (said.get("artefact") or "").partition(":")
    return {algorithm: value} if value else {"rlgCommitment": row.commitment.hex()}


def _policy(policy: Mapping[str, Any] | None) -> dict[str, Any]:
    if policy is None:  # no policy applied, which is a deny
        return {"uri": "none", "digest": {"sha256": hashlib.sha256(b"").hexdigest()}}
    algorithm, _, value = policy["digest"].partition(":")
    return {"uri": f"policy:{policy['name']}@{policy['version']}", "digest": {algorithm: value}}
