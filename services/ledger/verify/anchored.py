"""Checks the daily time-stamps of a log: signed, continued, and stamped by an authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.x509 import Certificate

from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Ed25519Verifier, Unsigned
from services.ledger.sealing.anchor import NotStamped, anchors, stamped
from services.ledger.sealing.rotation import Former, open_log
from services.ledger.verify.whole import Refused, continues
from services.ledger.verify.work import Job


@dataclass(frozen=True, slots=True)
class Stamped:
    """A size that the tree had at a moment, by somebody else's clock."""

    size: int
    moment: datetime


def check_anchors(
    job: Job, present: Ed25519Verifier, retired: list[Former], roots: Sequence[Certificate]
) -> list[Stamped]:
    """Return what was stamped, the oldest first. Raises `Refused` naming the first bad day."""
    found, date = [], "index"
    try:
        for each in anchors(job.shelf):
            date = each.date
            old, _ = open_log(each.checkpoint, [present], retired)
            continues(job, old)
            found.append(Stamped(old.size, stamped(each.response, each.checkpoint, roots)))
    except (NotStamped, NotANote, Unsigned, ProofError) as error:
        raise Refused(f"the anchor of {date}: {error}") from error
    return found
