"""The commands that take a person, or anything else, out of a ledger: found, asked for, agreed to.

`erase ask` reads the whole ledger, and for each event that holds one of the texts (a name, an
address) it asks for a redaction. `erase agree`, by somebody else, agrees to what was asked for with
that reason. Both write a report of every event that they met: an erasure has to be shown.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.progress import Progress

from contracts.problem import Problem
from services import run
from services.kit.remote import Client, HttpLedger
from services.kit.settings import SettingsError

erase = typer.Typer(help="Take what must not be kept out of a ledger.", no_args_is_help=True)
PAGE = 500
STAY = ("id", "source", "type", "subject", "subjects", "causationid")
"""Attributes that are left of a redacted event, in histories and columns."""
SHORTEST = 3
"""Characters that a text has to have."""


@dataclass(frozen=True, slots=True)
class Met:
    """One event in a report. `state`: requested, redacted, or refused; `detail` says why."""

    position: int
    type: str
    state: str
    detail: str = ""


async def ask(
    client: Client, ledger: str, texts: Sequence[str], reason: str, progress: Callable[[int], None]
) -> AsyncIterator[Met]:
    """Ask for the redaction of each event that holds one of the texts.

    Upper case, ways of composing a letter and white space do not matter. Looks at the event as
    recorded, whole: attributes, members, values. Where a text stands in what stays (`STAY`, the
    principal) that is told as refused. Safe to repeat. Raises `SettingsError` for texts that would
    meet too much, or be kept for ever.
    """
    wanted, after = _wanted(texts, reason), 0
    while True:
        page = await HttpLedger(client).page(ledger, after, limit=PAGE)
        for event in page.events:
            if _holds(event.event, wanted):
                body = {"position": event.position, "reason": reason}
                yield await _done(client, _at(ledger), body, event.position, event.type)
            stays = {name: event.event[name] for name in STAY if name in event.event}
            stays["principal"] = event.principal
            held = [name for name, value in stays.items() if _holds(value, wanted)]
            if held:
                told = f"its {', '.join(held)} holds a text, and stays"
                yield Met(event.position, event.type, "refused", told)
        progress(page.scanned_to - after)
        if page.scanned_to >= page.head:
            return
        after = page.scanned_to


def _wanted(texts: Sequence[str], reason: str) -> list[str]:
    """Return the texts as they are looked for, in JSON."""
    wanted = [_folded(json.dumps(text, ensure_ascii=False)[1:-1]) for text in texts]
    for text in texts:
        if len(text.strip()) < SHORTEST:
            raise SettingsError(f"{text!r} would be found nearly everywhere: give more of it")
    if _holds(reason, wanted):
        raise SettingsError("the reason is recorded for ever, and it holds what is to be erased")
    return wanted


def _holds(value: object, wanted: Sequence[str]) -> bool:
    said = _folded(json.dumps(value, ensure_ascii=False))
    return any(text in said for text in wanted)


def _folded(text: str) -> str:
    """Return one spelling for all that a reader takes for the same (UAX 15, NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


async def agree(client: Client, ledger: str, reason: str) -> AsyncIterator[Met]:
    """Agree to every redaction that was asked for with this reason and waits. Safe to repeat: those
    that are redacted already are told too. What is asked for meanwhile is left for the next time.
    """
    after, until = 0, None
    while until is None or after < until:
        found = await client.get(_at(ledger), after=after)
        until = found["head"] if until is None else until
        for each in found["redactions"]:
            position = int(each["position"])
            if each["reason"] == reason and each["state"] == "requested":
                yield await _done(client, f"{_at(ledger)}/{position}/approval", {}, position)
            elif each["reason"] == reason:
                yield _met(each, position)
        after = found["scanned_to"]


async def _done(
    client: Client, path: str, body: dict[str, Any], position: int, type_: str = ""
) -> Met:
    try:
        answer = await client.post(path, body)
    except Problem as problem:
        return Met(position, type_, "refused", str(problem))
    return _met(answer, position, type_)


def _met(told: Mapping[str, Any], position: int, type_: str = "") -> Met:
    who = " and ".join(filter(None, (told["requested_by"], told.get("approved_by"))))
    return Met(position, type_, str(told["state"]), f"by {who}: {told['reason']}")


def _at(ledger: str) -> str:
    return f"/v1/ledgers/{ledger}/redactions"


Url = Annotated[str, typer.Option(help="the ledger service, such as https://ledger.example.com")]
Name = Annotated[str, typer.Option(help="the ledger's name")]
Why = Annotated[str, typer.Option(help="the reason; recorded for ever, so without the name")]
File = Annotated[Path | None, typer.Option(help="where to write the report, as JSON")]
Key = Annotated[str, typer.Option(envvar="RLG_API_KEY", help="of a person with scope redact")]


@erase.command("ask")
def erase_ask(
    *,
    text: Annotated[list[str], typer.Option(help="a name, an address; give it several times")],
    reason: Why,
    url: Url,
    api_key: Key,
    ledger: Name = "main",
    report: File = None,
) -> None:
    """Find every event that holds a text, and ask for its redaction."""
    with Progress(transient=True) as progress:
        task = progress.add_task("reading the ledger", total=None)

        def advance(count: int) -> None:
            progress.advance(task, count)

        _tell(Client(url, api_key), lambda to: ask(to, ledger, text, reason, advance), report)


@erase.command("agree")
def erase_agree(
    *, reason: Why, url: Url, api_key: Key, ledger: Name = "main", report: File = None
) -> None:
    """Agree to what somebody else has asked for with this reason: it is removed."""
    _tell(Client(url, api_key), lambda to: agree(to, ledger, reason), report)


def _tell(
    client: Client, work: Callable[[Client], AsyncIterator[Met]], report: Path | None
) -> None:
    """Do the work and say what was met; where it is cut short, what was met until then."""
    met: list[Met] = []

    async def through() -> str:
        try:
            async for each in work(client):
                met.append(each)
                run.say(f"{each.position:>10}  {each.state:<10} {each.type} {each.detail}".rstrip())
        except Problem as problem:
            return f"not all was looked at, so run it again: {problem}"
        finally:
            await client.close()
        return ""

    try:
        cut_short = uvloop.run(through())
    finally:  # also when somebody has interrupted it: what was met has to be shown
        refused = sum(each.state == "refused" for each in met)
        run.say(f"{len(met)} events, {refused} refused")
        if report is not None:
            rows = [asdict(each) for each in met]
            report.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if cut_short:
        raise SettingsError(cut_short)
    if refused:
        raise typer.Exit(1)
