"""Where one ledger and its proof lie, for the commands of its operator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from contracts.problem import IdConflict
from services.ledger import own
from services.ledger.sealing import rotation
from services.ledger.sealing.shelf import Shelf
from services.ledger.sealing.state import StateStore


@dataclass(frozen=True, slots=True)
class Site:
    """Where the ledger lies."""

    ledger: str
    url: str
    keys: Path
    shelf: Shelf
    states: StateStore


async def rotate(site: Site, which: str, reason: str) -> int:
    """Replace a key and return the position from which the new one signs.

    The sealer goes on with its new key by itself, the others when their process starts again.
    Raises `SettingsError`.
    """
    old, new = rotation.prepare(site.keys, which)
    event = {
        "type": rotation.TYPE, "id": f"{which}-{hashlib.sha256(new.encode()).hexdigest()[:16]}",
        "data": {
            "ledger": site.ledger, "key": which, "retired": old, "introduced": new,
            "reason": reason, "operator": own.person(),
        },
    }  # fmt: skip
    async with own.operating(site.url, site.ledger) as appender:
        try:
            position = await own.record(appender, "keys", event, own.operator())
        except IdConflict as recorded:  # said before, with another reason
            position = int(recorded.members["position"])
    if which != "sealer":
        rotation.turn(site.keys, which, position)
    return position
