"""People: which accounts are one person's. Pure.

Events name accounts: a login at a code host, an address in a commit, a principal who signed in.
`identity.linked` says whose they are. Where nothing is linked, two accounts with one login are
taken for one person: that errs on the side of one more pair of eyes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_MACHINES = ("key:", "service:")


@dataclass(slots=True)
class People:
    """The links that were recorded: account → person."""

    links: dict[str, str] = field(default_factory=dict)
    _first: dict[str, str] | None = field(default=None, compare=False, repr=False)
    """Login → the first by name of all that are one person's."""
    _keys: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def of(self, account: str) -> str:
        """Return the person of an account, as far as links lead; of a circle, its first by name."""
        seen = [account]
        while (following := self.links.get(seen[-1])) is not None:
            if following in seen:
                return min(seen[seen.index(following) :])
            seen.append(following)
        return seen[-1]

    def key(self, account: str) -> str:
        """Return what all accounts of one person have in common, and those that may be theirs: of
        logins that links lead between, on whatever ways. For when all links are known.
        """
        found = self._keys.get(account)
        if found is None:
            if self._first is None:
                self._first = self._joined()
            name = login(account)
            found = self._keys[account] = self._first.get(name, name)
        return found

    def same(self, one: str, other: str) -> bool:
        """Say whether two accounts are, or may be, one person's. For when all links are known."""
        return self.key(one) == self.key(other)

    def _joined(self) -> dict[str, str]:
        groups: dict[str, set[str]] = {}
        for pair in self.links.items():
            one, other = (groups.get(name, {name}) for name in map(login, pair))
            whole = one | other
            groups |= dict.fromkeys(whole, whole)
        return {name: min(group) for name, group in groups.items()}

    def knows(self, account: str, issuers: Iterable[str]) -> bool:
        """Say whether it is known whose an account is: linked, or of an issuer that people sign
        in by.
        """
        return account in self.links or issuer(account) in set(issuers)


def login(principal: str) -> str:
    """Return the name within its issuer."""
    return principal.rpartition(":")[2].casefold()


def issuer(principal: str) -> str:
    """Return who vouches for the name; empty for a bare name."""
    return principal.rpartition(":")[0]


def short(principal: str) -> str:
    """Return how a sentence names a person."""
    return principal.rpartition(":")[2] or principal


def not_a_person(principal: str) -> str:
    """Return why a key cannot speak, and how a person can."""
    how = "a service that may act for one names them in rlg-acts-for"
    return f"{principal} is a key; only a person can say this: {how}"


def is_person(principal: str, via: str | None) -> bool:
    """Say whether a recorded principal is somebody who was signed in at one of our services."""
    return via is not None and not principal.startswith(_MACHINES)
