"""What whoever verifies has given: options, keys to trust, and where tree and database are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from services.kit import clock
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Ed25519Verifier, Note
from services.kit.tlog.policy import NotAPolicy, Policy
from services.kit.tlog.tiles import WIDTH
from services.ledger.sealing import keys, rotation, succession
from services.ledger.sealing.naming import NameChecker, NotANamingKey
from services.ledger.sealing.rotation import Former
from services.ledger.sealing.shelf import CHECKPOINT, Readable
from services.ledger.sealing.succession import NotASuccession, Step
from services.ledger.sealing.where import Where, shelf_at
from services.ledger.settings import LedgerSettings
from services.ledger.verify.online import Online
from services.ledger.verify.whole import Refused
from services.ledger.verify.work import Job

NAMING = "naming.pub.pem"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command's options."""

    ledger: str
    key: Path | None = None
    shelf: str | None = None
    known: tuple[Path, ...] = ()
    tree: bool = False
    quick: bool = False
    workers: int = 0
    pack: Path | None = None
    receipt: Path | None = None
    stretch: str | None = None
    subject: str | None = None
    url: str | None = None
    closed: str | None = None
    fresh: int | None = None
    api_key: str = ""


class Given:
    """Options and settings, read when they are needed. Raises `SettingsError`, `NotANote`."""

    def __init__(self, shared: Shared, settings: LedgerSettings, wanted: Wanted) -> None:
        self.wanted = wanted
        self.settings = settings
        self._shared = shared
        self._where = Where(shared, settings)

    @cached_property
    def folder(self) -> Path:
        """The folder of the ledger's public keys."""
        return self._where.keys(self.wanted.ledger)

    @cached_property
    def shelf(self) -> Readable:
        """Where the tree is."""
        if self.wanted.url is not None:
            return Online(self.wanted.url.rstrip("/"), self.wanted.api_key)
        at = self.wanted.shelf
        return self._where.shelf(self.wanted.ledger) if at is None else shelf_at(at)

    @cached_property
    def verifier(self) -> Ed25519Verifier:
        """The log's key: what has come of the one that was given, or lies with the ledger's."""
        return self.steps[-1].successor if self.steps else self._trusted

    @cached_property
    def steps(self) -> Sequence[Step]:
        """How the key that is trusted was replaced, as it has signed itself."""
        try:
            return succession.follow(self.shelf, self._trusted)
        except NotASuccession as error:
            raise Refused(str(error)) from error

    @cached_property
    def _trusted(self) -> Ed25519Verifier:
        return Ed25519Verifier.parse(read(self.wanted.key or self.folder / "sealer.vkey").decode())

    @cached_property
    def retired(self) -> list[Former]:
        """Keys that were replaced."""
        keys_ = [self._trusted, *(step.successor for step in self.steps)]
        ended = zip(keys_, self.steps, strict=False)
        followed = [Former("sealer", key.vkey, step.position) for key, step in ended]
        return [*rotation.former(self.folder), *followed]

    @cached_property
    def note(self) -> bytes:
        """The newest checkpoint, as it was found."""
        content = self.shelf.read(CHECKPOINT)
        if content is None:
            raise SettingsError(f"there is no checkpoint at {self.shelf}/{CHECKPOINT}")
        return content

    @cached_property
    def head(self) -> Checkpoint:
        """The newest checkpoint, opened."""
        return open_note(self.note, [self.verifier])[0]

    @cached_property
    def naming(self) -> NameChecker:
        """The key that names subjects."""
        try:
            return NameChecker.from_pem(read(self.folder / NAMING))
        except NotANamingKey as error:
            raise SettingsError(str(error)) from None

    @cached_property
    def policy(self) -> Policy:
        """Which witnesses have to have cosigned."""
        try:
            return Policy.parse(read(self.folder / keys.POLICY).decode())
        except (NotAPolicy, UnicodeDecodeError) as error:
            raise SettingsError(str(error)) from None

    def policy_of(self, content: bytes, *more: Ed25519Verifier) -> Policy:
        """Return the policy for a checkpoint: a key that was replaced since may have signed it.

        `more`: keys of the log that are trusted beside those of the policy.
        """
        size = Checkpoint.parse(Note.parse(content).text).size
        former = rotation.holding(rotation.former(self.folder), "sealer", size)
        return replace(self.policy, logs=(*self.policy.logs, *former, *more))

    def check_fresh(self) -> None:
        """Raise `Refused` for a checkpoint that the quorum has not seen for longer than allowed.

        Whoever holds back what came later shows an old one: it is right, and its tree too.
        """
        allowed = self.wanted.fresh
        if allowed is None:
            return
        moment = self.policy.seen(self.note)
        if moment is None:
            raise SettingsError("--fresh needs a policy with witnesses: they say when")
        age = int(clock.now().timestamp()) - moment
        if age > allowed:
            raise Refused(
                f"the witnesses saw this checkpoint {age} s ago: later ones are held back"
            )

    @property
    def workers(self) -> int:
        """How many processes share the work."""
        return self.wanted.workers or len(os.sched_getaffinity(0))

    def receipts(self, position: int) -> list[Ed25519Verifier]:
        """Return the keys that sign receipts of a position."""
        present = Ed25519Verifier.parse(read(self.folder / "receipts.vkey").decode())
        return [present, *rotation.holding(self.retired, "receipts", position)]

    def opened(self, content: bytes) -> Checkpoint:
        """Open a checkpoint that was kept; a replaced key may have signed it."""
        return rotation.open_log(content, [self.verifier], self.retired)[0]

    def older(self) -> tuple[Checkpoint, ...]:
        """Open the checkpoints that were kept."""
        return tuple(self.opened(read(file)) for file in self.wanted.known)

    def refuse(self, *options: str) -> None:
        """Raise `SettingsError` for options that would be given and not looked at."""
        named = {"range": "stretch"}
        given = [name for name in options if getattr(self.wanted, named.get(name, name))]
        if given:
            raise SettingsError(f"--{given[0]} does not go with --subject")

    def job(self) -> Job:
        """Return what is to be verified."""
        wanted = self.wanted
        if wanted.tree or wanted.url is not None:
            return Job(self.head, self.shelf, wanted.ledger, quick=wanted.quick)
        if self._shared.database_url is None:
            raise SettingsError("DATABASE_URL names the database to compare with; or use --tree")
        main = self._shared.database_url.get_secret_value()
        url = self.settings.elsewhere.get(wanted.ledger, main)
        return Job(
            self.head, self.shelf, wanted.ledger, url, self.naming.pem(), wanted.quick,
            key=self.verifier.vkey,
        )  # fmt: skip

    def bundles(self) -> range | None:
        """Read `A-B` or `A-`, positions, as the bundles that hold them; None: all."""
        stretch, size = self.wanted.stretch, self.head.size
        if stretch is None:
            return None
        first, mark, last = stretch.partition("-")
        if not (mark and first.isdecimal() and (last.isdecimal() or not last)):
            raise SettingsError("--range is two positions, such as 1000-2000, or 1000- to the end")
        low, high = int(first), min(int(last or size), size)
        if not 1 <= low <= high:
            raise SettingsError(f"--range {stretch} is not among the {size} sealed positions")
        return range((low - 1) // WIDTH, (high - 1) // WIDTH + 1)


def read(file: Path) -> bytes:
    """Return a file's content, or raise `SettingsError`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None
