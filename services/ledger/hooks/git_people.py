"""Who stands behind a commit, as git tells: author, committer, co-authors. Addresses, claims.

An address becomes the account `git:<address>`; whose it is, `identity.linked` says. GitHub's
private addresses carry the account's number, and are that account. What a service signs with when
somebody presses its button (`noreply@github.com`) is no person. What does not fit into an event
is never left out in silence: it becomes an account that is nobody's, so no gate passes on it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from contracts.ijson import Json
from services.ledger.hooks.adapter import present
from services.ledger.hooks.reading import find

_PRIVATE = re.compile(r"(\d+)\+[^@]+@users\.noreply\.github\.com")
_NOBODY = frozenset({"noreply@github.com"})
_TRAILER = re.compile(r"^co-authored-by:[^<\n]*<([^<>\s]+)>\s*$", re.IGNORECASE | re.MULTILINE)
"""git-interpret-trailers(1); code hosts write and read this one."""
MOST = 500
"""Co-authors that an event may hold."""
MANY = f"git:more-than-{MOST}-co-authors"
"""Stands for those beyond."""
_LONGEST = 480
"""Characters of an account: a longer one can be linked to nobody."""


def people(commit: Any) -> dict[str, Json]:
    """Return `author`, `committer` and `co_authors` of a commit of a push, those that it names."""
    message = find(commit, "message")
    named = _TRAILER.findall(message) if isinstance(message, str) else []
    author, committer = (account(find(commit, role, "email")) for role in ("author", "committer"))
    others = dict.fromkeys(found for each in named if (found := account(each)))
    others.pop(author or "", None)
    names: list[Json] = list(others)
    if len(names) > MOST:
        names[MOST - 1 :] = [MANY]
    return present(author=author, committer=committer, co_authors=names or None)


def account(address: Any) -> str | None:
    """Return the account of an address, None where there is none."""
    if not isinstance(address, str) or not (known := address.strip().lower()) or known in _NOBODY:
        return None
    private = _PRIVATE.fullmatch(known)
    name = f"github:{private[1]}" if private else f"git:{known}"
    if len(name) <= _LONGEST:
        return name
    return f"git:sha256-{hashlib.sha256(known.encode('utf-8', 'surrogatepass')).hexdigest()}"
