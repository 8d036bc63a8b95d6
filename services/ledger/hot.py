"""The ledger's hot routes: what they do, and how a raw request finds them.

The functions are the one implementation; the routes of `services.ledger.api` document them and
call them too. A raw request whose address is not in its plainest form (an unknown or repeated
parameter, a number out of range) is left to those routes, which say what is wrong.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl

from contracts.problem import Invalid, Unavailable
from contracts.subject import is_key
from services.kit.hot import Ask, Handler
from services.kit.identity import Keyring, Principal, authenticate
from services.ledger import answers, asking, bindings
from services.ledger.admission import of_group, read_group, submission
from services.ledger.answers import Footer
from services.ledger.appender import Appenders
from services.ledger.model import Outcome, Submission
from services.ledger.receipt import Seal
from services.ledger.sealing.published import Published
from services.ledger.store import Reader
from services.ledger.wake import Wake, page_or_wait

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

PREFIX = "/v1/ledgers/{ledger}"
MAX_LIMIT = 1000
MAX_WAIT = 30
SEALED_SECONDS = 10.0
"""How long `?sealed=true` waits for a checkpoint that covers what was appended."""
_LINES = bindings.NDJSON.encode()
_PATH = re.compile(r"/v1/ledgers/([^/]+)/(?:(events|appends)|subjects/(.*)/history)")


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    reader: Reader
    wake: Wake
    appender_for: Appenders
    keyring: Keyring
    published: Published
    signs: Mapping[str, Callable[[bytes], str]] = field(default_factory=dict)
    """How a ledger's receipts are signed; see `receipt.Seal`."""

    async def footer(self, ledger: str, outcomes: Iterable[Outcome], wait: float) -> Footer:
        """Return what an answer says of the tree; wait so many seconds for it to cover all."""
        last = max((one.receipt.position for one in outcomes if one.receipt), default=0)
        if wait and last:
            with contextlib.suppress(Unavailable):  # it is stored, and `sealed` says the rest
                await self.published.covering(ledger, last, wait)
        newest = self.published.newest(ledger)
        seal = Seal(newest.size if newest else 0, self.signs.get(ledger))
        return Footer(seal, self.published.member(ledger))

    def require(self, headers: Mapping[str, str], scope: str) -> Principal:
        """Return who asks, or raise `Unauthenticated` or `Forbidden`."""
        who = authenticate(self.keyring, headers)
        who.require(scope)
        return who


async def append_events(
    desk: Desk, ledger: str, who: Principal, ask: Ask, wait: float = 0
) -> Response:
    """Append one event or many; see the route of the same name."""
    appender = desk.appender_for(ledger)
    sent = bindings.read(ask.headers, await ask.body())
    checked = [submission(event, who) for event in sent.events]
    accepted = [item for item in checked if isinstance(item, Submission)]
    async with ask.unless_gone():
        appended = await appender.append_each(accepted, deadline=asking.deadline(ask.headers))
    outcomes = iter(appended)
    results = [item if isinstance(item, Outcome) else next(outcomes) for item in checked]
    footer = await desk.footer(ledger, results, wait)
    if sent.single:
        return answers.single(results[0], ask.path, footer)
    return answers.each(results, footer)


async def append_group(
    desk: Desk, ledger: str, who: Principal, ask: Ask, wait: float = 0
) -> Response:
    """Append all events or none; see the route of the same name."""
    appender = desk.appender_for(ledger)
    asked = read_group(bindings.loads(await ask.body()))
    items = [of_group(index, event, who) for index, event in enumerate(asked.events)]
    async with ask.unless_gone():
        outcomes = await appender.append_group(
            items, asked.expect, deadline=asking.deadline(ask.headers)
        )
    return answers.group(outcomes, await desk.footer(ledger, outcomes, wait))


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which events a page is to give."""

    after: int = 0
    limit: int | None = None
    type: str | None = None
    subject: str | None = None
    wait: float = 0


async def page(desk: Desk, ledger: str, query: PageQuery, ask: Ask) -> Response:
    """Give a page; see the route `events`."""
    async with ask.unless_gone():
        window = await page_or_wait(
            desk.reader, desk.wake, ledger, query.after, query.limit or 100,
            type_=query.type, subject=query.subject, wait=query.wait,
        )  # fmt: skip
    return answers.page(window, desk.published.member(ledger))


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which part of a history is asked for."""

    after_version: int = 0
    as_of: str | None = None
    limit: int = 100


async def history(desk: Desk, ledger: str, subject: str, query: HistoryQuery) -> Response:
    """Give a part of a subject's history; see the route of the same name."""
    if not is_key(subject):
        raise Invalid(f"{subject!r} is not a subject key of the form kind:id")
    window = await desk.reader.history(
        ledger,
        subject,
        after_version=query.after_version,
        as_of=asking.as_of(query.as_of),
        limit=query.limit,
    )
    return answers.history(subject, window, desk.published.member(ledger))


async def histories(
    desk: Desk, ledger: str, subjects: Sequence[str], position: int | None
) -> Response:
    """Give the beginnings of several histories as of one position; see the route."""
    for subject in subjects:
        if not is_key(subject):
            raise Invalid(f"{subject!r} is not a subject key of the form kind:id")
    head = (await desk.reader.head(ledger))[0] if position is None else position
    windows = await desk.reader.histories(ledger, subjects, head, MAX_LIMIT)
    return answers.histories(zip(subjects, windows, strict=True))


Found: TypeAlias = tuple[str, Handler]
_Verb: TypeAlias = Callable[[Desk, str, Principal, Ask, float], Awaitable["Response"]]
_APPENDS: Mapping[str, _Verb] = {"events": append_events, "appends": append_group}
_SEALED = {b"": 0.0, b"sealed=true": SEALED_SECONDS, b"sealed=false": 0.0}
_PAGE = {
    "after": asking.whole(0, 2**63 - 1),
    "limit": asking.whole(1, MAX_LIMIT),
    "type": asking.text,
    "subject": asking.text,
    "wait": asking.seconds(MAX_WAIT),
}
_HISTORY = {
    "after_version": asking.whole(0, 2**31 - 1),
    "as_of": asking.text,
    "limit": asking.whole(1, MAX_LIMIT),
}


class Routes:
    """Finds the handler of a raw request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def find(self, scope: Scope, path: str) -> Found | None:
        """Return the route template and the handler, or None: not hot, or not plain."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        ledger, verb, subject = found.groups()
        if scope["method"] == "POST" and verb is not None:
            wait = _SEALED.get(scope["query_string"])
            return None if wait is None else self._append(ledger, verb, wait)
        if scope["method"] != "GET" or verb == "appends":
            return None
        if verb is None:
            return self._history(scope, ledger, subject)
        return self._page(scope, ledger)

    def _append(self, ledger: str, verb: str, wait: float) -> Found:
        desk, work = self._desk, _APPENDS[verb]

        async def handle(ask: Ask) -> Response:
            return await work(desk, ledger, desk.require(ask.headers, "event:write"), ask, wait)

        return f"{PREFIX}/{verb}", handle

    def _page(self, scope: Scope, ledger: str) -> Found | None:
        given = _plain(scope["query_string"], _PAGE)
        if given is None or _wants_lines(scope):
            return None
        query = PageQuery(**given)

        async def handle(ask: Ask) -> Response:
            self._desk.require(ask.headers, "read")
            return await page(self._desk, ledger, query, ask)

        return f"{PREFIX}/events", handle

    def _history(self, scope: Scope, ledger: str, subject: str) -> Found | None:
        given = _plain(scope["query_string"], _HISTORY)
        if given is None:
            return None
        query = HistoryQuery(**given)

        async def handle(ask: Ask) -> Response:
            self._desk.require(ask.headers, "read")
            return await history(self._desk, ledger, subject, query)

        return f"{PREFIX}/subjects/{{subject:path}}/history", handle


def _plain(query: bytes, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any] | None:
    """Return the parameters of a query in which each is known, stands once and is in range."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        given = {name: known[name](text) for name, text in pairs}
    except (KeyError, ValueError):
        return None
    return given if len(given) == len(pairs) else None


def _wants_lines(scope: Scope) -> bool:
    return any(name == b"accept" and _LINES in value for name, value in scope["headers"])
