"""Where a ledger's keys, tiles and sealer's state lie, and what is made there at the beginning."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.kit import witnessing
from services.kit.remote import Client
from services.kit.settings import SettingsError, Shared
from services.ledger.sealing import keys, sealer
from services.ledger.sealing.objects import SCHEME, ObjectShelf, ObjectStates
from services.ledger.sealing.resume import SealerRefuses
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site
from services.ledger.sealing.state import SqliteStates, StateMoved, StateStore
from services.ledger.settings import LedgerSettings

WITNESSES = ("gatekeeper", "projector")


def dial_out(url: str) -> Client:
    """Open a client for a witness somewhere else; it asks for no key."""
    return Client(url, "")


@dataclass(frozen=True)
class Neighbours:
    """Who is in this process too: the witnesses of a development installation.

    `dial` opens a client for a submission prefix, `names` says who can be reached by name.
    """

    dial: Callable[[str], Client] = dial_out
    names: Callable[[], Sequence[str]] = tuple


def shelf_at(place: str) -> Folder | ObjectShelf:
    """Return the shelf in a folder or below `s3://…`."""
    return ObjectShelf(place.rstrip("/")) if place.startswith(SCHEME) else Folder(Path(place))


class Where:
    """The places that settings name, or their places below RLG_DATA."""

    def __init__(self, shared: Shared, settings: LedgerSettings) -> None:
        self._keys = settings.keys or shared.data / "keys"
        self._shelf = settings.shelf or str(shared.data / "log")
        self.state = settings.seal_state or str(shared.data / "seal.db")

    def keys(self, ledger: str) -> Path:
        """Return the folder of a ledger's keys."""
        return self._keys / ledger

    def shelf(self, ledger: str) -> Folder | ObjectShelf:
        """Return where a ledger's tiles lie."""
        return shelf_at(f"{self._shelf.rstrip('/')}/{ledger}")

    def states(self) -> StateStore:
        """Return what the sealer remembers."""
        if self.state.startswith(SCHEME):
            return ObjectStates(self.state.rstrip("/"))
        return SqliteStates(Path(self.state))


def seals_here(shared: Shared, settings: LedgerSettings) -> bool:
    """Say whether the ledger's process seals too."""
    return (settings.sealer or ("here" if shared.dev else "apart")) == "here"


def site(shared: Shared, settings: LedgerSettings, ledger: str) -> Site:
    """Return where a ledger and its proof lie. Raises `SettingsError`."""
    if shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database of the ledger: set it")
    url = settings.elsewhere.get(ledger) or shared.database_url.get_secret_value()
    where = Where(shared, settings)
    states = where.states()
    return Site(ledger, url, where.keys(ledger), where.shelf(ledger), states)


def begin(shared: Shared, settings: LedgerSettings, ledger: str) -> str:
    """Begin a ledger's log and return its origin. Raises `SettingsError`."""
    where = Where(shared, settings)
    own = keys.sealer(where.keys(ledger))
    try:
        sealer.begin(where.states(), where.shelf(ledger), own)
    except (SealerRefuses, StateMoved) as error:
        raise SettingsError(str(error)) from None
    return own.origin


def prepare(where: Where, ledger: str, neighbours: Neighbours) -> None:
    """Make what a development installation lacks: keys, a policy, and the beginning of a log."""
    folder, shelf = where.keys(ledger), where.shelf(ledger)
    if not (folder / keys.SEALER).exists():
        # An origin is never used twice: each installation has its own.
        keys.make(folder, f"release-ledger.localhost/{ledger}/{secrets.token_hex(4)}")
    policy = folder / keys.POLICY
    if not policy.exists():
        policy.write_text(_policy(where, ledger, neighbours.names()), encoding="utf-8")
    states, own = where.states(), keys.sealer(folder)
    if states.load(own.origin) is None and shelf.read(CHECKPOINT) is None:
        sealer.begin(states, shelf, own)


def _policy(where: Where, ledger: str, names: Sequence[str]) -> str:
    """Return a policy by which the other services in this process are the witnesses."""
    lines = [f"log {(where.keys(ledger) / 'sealer.vkey').read_text(encoding='utf-8').strip()}"]
    known = [name for name in WITNESSES if name in names]
    for name in known:
        witnessing.make(where.keys(name), f"release-ledger.localhost/{name}")
        vkey = (where.keys(name) / witnessing.VKEY).read_text(encoding="utf-8").strip()
        lines.append(f"witness {name} {vkey} http://{name}{witnessing.PATH}")
    quorum = [f"group all all {' '.join(known)}", "quorum all"] if known else ["quorum none"]
    return "\n".join([*lines, *quorum, ""])
