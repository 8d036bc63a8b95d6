"""Trust policies (C2SP tlog-policy): which logs, and how many of which witnesses, are enough.

log <vkey> [<url>]
witness <name> <vkey> [<url>]
group <name> all|any|<k> <name>…
quorum <name>|none
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.cosignature import Witness, parse_witness, time_of
from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Verifier, Note, Unsigned

NONE = "none"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class NotAPolicy(ValueError):
    """The text is not a policy; the message begins with the line's number."""


@dataclass(frozen=True, slots=True)
class Member:
    """A witness of the policy. `url` is the submission prefix of C2SP tlog-witness."""

    name: str
    witness: Witness
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """At least `least` of the members."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """When a checkpoint is to be believed."""

    logs: tuple[Ed25519Verifier, ...]
    witnesses: tuple[Member, ...]
    groups: dict[str, Group]
    quorum: str

    @classmethod
    def parse(cls, text: str, *, ml_dsa: bool = False) -> Policy:
        """Read a policy. `ml_dsa` allows witnesses with ML-DSA-44 keys. Raises `NotAPolicy`."""
        return _Reading(ml_dsa=ml_dsa).read(text)

    def check(self, content: bytes) -> Checkpoint:
        """Return a checkpoint that a log signed and the quorum cosigned.

        Raises `NotANote`, or `Unsigned` naming the witnesses that have not signed.
        """
        checkpoint, note = open_note(content, self.logs)
        signed = note.signed_by([member.witness for member in self.witnesses])
        names = {member.name for member in self.witnesses if member.witness in signed}
        if not self.satisfied(names):
            missing = [member.name for member in self.witnesses if member.name not in names]
            raise Unsigned(f"the quorum {self.quorum} is not met without {', '.join(missing)}")
        return checkpoint

    def seen(self, content: bytes) -> int | None:
        """Return when the quorum last saw a checkpoint as the newest one, in POSIX seconds.

        That is the latest moment of which the cosignatures that are no older meet the quorum. None
        where no witness is asked. Raises what `check` raises.
        """
        self.check(content)
        if self.quorum == NONE:
            return None
        note, stamped = Note.parse(content), list[tuple[int, str]]()
        for line in note.signatures:
            for member in self.witnesses:
                own = (line.name, line.key_id) == (member.witness.name, member.witness.key_id)
                moment = time_of(line.value)
                if own and moment is not None and member.witness.verifies(note.text, line.value):
                    stamped.append((moment, member.name))
        names = set[str]()
        for moment, name in sorted(stamped, reverse=True):
            names.add(name)
            if self.satisfied(names):
                return moment
        return None

    def satisfied(self, names: set[str]) -> bool:
        """Say whether the cosignatures of these witnesses are enough."""
        return self.quorum == NONE or self._holds(self.quorum, names)

    def _holds(self, name: str, signed: set[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in signed
        return sum(self._holds(member, signed) for member in group.members) >= group.least


@dataclass
class _Reading:
    """A policy as far as it was read."""

    ml_dsa: bool
    logs: list[Ed25519Verifier] = field(default_factory=list)
    witnesses: list[Member] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    grouped: set[str] = field(default_factory=set)

    def read(self, text: str) -> Policy:
        for number, line in enumerate(text.split("\n"), 1):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if not words or words[0].startswith("#"):
                continue
            try:
                self._take(words)
            except NotANote as error:
                raise NotAPolicy(f"line {number}: {error}") from None
        if self.quorum is None:
            raise NotAPolicy("the end: there is no quorum line")
        return Policy(tuple(self.logs), tuple(self.witnesses), self.groups, self.quorum)

    def _take(self, words: list[str]) -> None:
        if _FORBIDDEN.search(" ".join(words)):
            raise NotANote("it holds a control character")
        shapes: dict[str, tuple[int, int, Callable[[list[str]], None]]] = {
            "log": (1, 2, self._log),
            "witness": (2, 3, self._witness),
            "group": (3, len(words), self._group),
            "quorum": (1, 1, self._quorum),
        }
        least, most, take = shapes.get(words[0], (0, 0, self._unknown))
        if take != self._unknown and not least <= len(words) - 1 <= most:
            raise NotANote(f"{words[0]} takes {least} to {most} words, not {len(words) - 1}")
        take(words[1:] if take != self._unknown else words)

    def _unknown(self, words: list[str]) -> None:
        raise NotANote(f"{words[0]!r} is none of log, witness, group, quorum")

    def _log(self, words: list[str]) -> None:
        log = Ed25519Verifier.parse(words[0])
        _new(log.public, [known.public for known in self.logs], "log key")
        self.logs.append(log)

    def _witness(self, words: list[str]) -> None:
        witness = parse_witness(words[1], ml_dsa=self.ml_dsa)
        _new(witness.public, [known.witness.public for known in self.witnesses], "witness key")
        self._name(words[0])
        url = words[2] if len(words) > 2 else None  # noqa: PLR2004 - name, key, url
        self.witnesses.append(Member(words[0], witness, url))

    def _group(self, words: list[str]) -> None:
        name, rule, *members = words
        self._name(name)
        for member in members:
            self._known(member)
            if member in self.grouped:
                raise NotANote(f"{member} is a member already")
            self.grouped.add(member)
        self.groups[name] = Group(_least(rule, len(members)), tuple(members))

    def _quorum(self, words: list[str]) -> None:
        if self.quorum is not None:
            raise NotANote("there is a quorum line already")
        if words[0] != NONE:
            self._known(words[0])
        self.quorum = words[0]

    def _name(self, name: str) -> None:
        if name == NONE or self._has(name):
            raise NotANote(f"the name {name} is taken")

    def _known(self, name: str) -> None:
        if not self._has(name):
            raise NotANote(f"no witness and no group before it is called {name}")

    def _has(self, name: str) -> bool:
        return name in self.groups or any(member.name == name for member in self.witnesses)


def _new(key: bytes, known: Sequence[bytes], what: str) -> None:
    if key in known:
        raise NotANote(f"this {what} stands there already")


def _least(rule: str, members: int) -> int:
    if rule in {"all", "any"}:
        return members if rule == "all" else 1
    if not re.fullmatch(r"[1-9][0-9]{0,3}", rule, re.ASCII) or int(rule) > members:
        raise NotANote(f"{rule!r} is none of all, any and 1 to {members}")
    return int(rule)
