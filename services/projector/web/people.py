"""Who looks at the console. Names live here, in an erasable directory, and never in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COOKIE = "rlg_person"
"""Names the person as whom development mode acts."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person of the directory. `id` is the principal in events, for example `dev:ada`."""

    id: str
    name: str
    roles: tuple[str, ...] = ()
    title: str = ""

    @property
    def initials(self) -> str:
        """At most two letters for a small round badge."""
        parts = self.name.split() or [self.id]
        return "".join(part[0] for part in (parts[0], *parts[1:][-1:])).upper()


class Directory:
    """The people that this console knows by name, in the order given."""

    def __init__(self, people: Iterable[Person] = ()) -> None:
        self.people: Sequence[Person] = tuple(people)
        self._by_id = {person.id: person for person in self.people}

    def find(self, principal: str | None) -> Person | None:
        """Return the person behind a principal, or None."""
        return self._by_id.get(principal or "")

    def named(self, name: str) -> Person | None:
        """Return the person of this name (any case), or None."""
        wanted = name.strip().casefold()
        return next((p for p in self._by_id.values() if p.name.casefold() == wanted), None)

    def name(self, principal: str) -> str:
        """Return a person's name; of others the principal without its issuer."""
        person = self._by_id.get(principal)
        if person:
            return person.name
        issuer, _, rest = principal.rpartition(":")
        return f"{issuer} {rest}".strip() if rest.isdecimal() else rest or principal

    def first_names(self, principals: Iterable[str]) -> str:
        """Join people for a sentence: `Grace, Ken or Linus`."""
        names = [self.name(principal).split()[0] for principal in principals]
        return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
