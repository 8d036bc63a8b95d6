"""The demo's people. Ids are pseudonymous; the names would live in a directory, never in the log.

A person has one id for the console (`dev:grace`) and one login at GitHub. Roles are those that
deploy/policies/standard.yaml asks for, and two that only describe (developer, product-owner).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts in the demo."""

    login: str
    name: str
    title: str
    roles: tuple[str, ...]

    @property
    def id(self) -> str:
        """The principal: `<issuer>:<subject>`."""
        return f"dev:{self.login}"

    @property
    def email(self) -> str:
        """An address that cannot be reached (RFC 2606)."""
        return f"{self.login}@acme.example"


GRACE = Person("grace", "Grace Holm", "Release manager", ("release-manager",))
RADIA = Person("radia", "Radia Novak", "Release manager, second", ("release-manager",))
KATE = Person("kate", "Kate Osei", "Head of quality", ("qa",))
TARIQ = Person("tariq", "Tariq Aziz", "Test engineer", ("qa",))
MARA = Person("mara", "Mara Lindqvist", "Security lead", ("security",))
EDITH = Person("edith", "Edith Laurent", "Operations lead, board member", ("sre", "cab"))
OLU = Person("olu", "Olu Adeyemi", "Chair of the change advisory board", ("cab",))
TIM = Person("tim", "Tim Berger", "Product owner, payments", ("product-owner",))
JOAN = Person("joan", "Joan Castell", "Product owner, web and search", ("product-owner",))
ADA = Person("ada", "Ada Marlow", "Developer, payments", ("developer",))
ALAN = Person("alan", "Alan Reyes", "Developer, web", ("developer",))
HEDY = Person("hedy", "Hedy Okafor", "Developer, search", ("developer",))

PEOPLE = (GRACE, RADIA, KATE, TARIQ, MARA, EDITH, OLU, TIM, JOAN, ADA, ALAN, HEDY)
"""The first one is whom the console shows when nobody has been chosen."""
DEFAULT = GRACE


def holders(role: str) -> tuple[Person, ...]:
    """Return everybody who holds a role, in the order of the list."""
    return tuple(person for person in PEOPLE if role in person.roles)
