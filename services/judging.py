"""The commands about decisions: each judged once more, to the byte or by another policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.problem import Problem
from services import run
from services.gatekeeper.backtesting import Backtest, Remembered, backtest
from services.gatekeeper.policy import Policy, PolicyFaultsError, load
from services.gatekeeper.reading import Reader
from services.gatekeeper.replaying import Replayed, replay_all
from services.gatekeeper.rules import words
from services.gatekeeper.testing import check
from services.kit.remote import Client, HttpLedger
from services.kit.settings import SettingsError

decisions = typer.Typer(help="Decisions: judge them once more.", no_args_is_help=True)
policies = typer.Typer(help="Policies: look at documents.", no_args_is_help=True)
DIFFERS = 9
"""Exit code where a decision could not be made again."""
UNREADABLE = 10
"""Exit code where none differs, and what one had read is gone."""
Url = Annotated[str, typer.Option(help="the ledger service, such as https://ledger.example.com")]
Key = Annotated[str, typer.Option(envvar="RLG_API_KEY", help="an API key with the scope read")]


@decisions.command("replay")
def replay(
    *,
    url: Url,
    api_key: Key,
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
    first: Annotated[int, typer.Option("--from", min=1, help="the first position")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="the last position")] = None,
) -> None:
    """Judge every decision once more from what it had read. Names the first one that differs.

    Exit code 0: all are the same to the byte, or were judged by another version of the engine,
    which is told; 9: one differs; 10: none differs, but one cannot be read, such as after a
    redaction; 1: the ledger does not answer.
    """
    try:
        found = uvloop.run(_replay(Client(url, api_key), ledger, first, last))
    except Problem as problem:
        raise SettingsError(f"not all was looked at: {problem}") from None
    counts = {outcome: sum(each.outcome == outcome for each in found)
              for outcome in ("same", "other_engine", "different", "unreadable")}  # fmt: skip
    run.say(
        ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in counts.items())
    )
    for outcome, code in (("different", DIFFERS), ("unreadable", UNREADABLE)):
        if wrong := next((each for each in found if each.outcome == outcome), None):
            run.say(f"position {wrong.position}, decision {wrong.decision_id}: "
                    f"{outcome}: {wrong.difference}")  # fmt: skip
            raise typer.Exit(code)


@decisions.command("backtest")
def try_policy(
    file: Annotated[Path, typer.Argument(help="the policy document", exists=True, dir_okay=False)],
    *,
    url: Url,
    api_key: Key,
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
    first: Annotated[int, typer.Option("--from", min=1, help="the first position")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="the last position")] = None,
) -> None:
    """Say what a policy would have decided wherever a decision was made. Records nothing.

    Reads the ledger from its beginning and keeps it in memory, some 3 kB an event.
    """
    try:
        candidate = load(file.read_text(encoding="utf-8"), str(file))
        found = uvloop.run(_backtest(Client(url, api_key), ledger, candidate, first, last))
    except PolicyFaultsError as error:
        raise SettingsError(f"the policy is not valid:\n{error}") from None
    except Problem as problem:
        raise SettingsError(f"the ledger was not read to its end: {problem}") from None
    for line in told(found):
        run.say(line)


@policies.callback()
def _policies() -> None:
    """Policies: look at documents."""


@policies.command("check")
def check_files(
    files: Annotated[list[Path], typer.Argument(help="policy documents", dir_okay=False)],
) -> None:
    """Check policy documents and run their tests; name every fault as file:line:column.

    Runs their expressions here, without the bounds that the service has for drafts. Exit code 0:
    all are good; 1: at least one is not.
    """
    bad = False
    for file in files:
        try:
            found = check(file.read_text(encoding="utf-8"), str(file))
        except PolicyFaultsError as error:
            bad = True
            for fault in error.faults:
                run.say(fault)
        except (OSError, UnicodeDecodeError) as error:
            bad = True
            run.say(f"{file}:1:1 cannot be read: {error}")
        else:
            ref, tests = found.ref, words.count(len(found.document.tests), "test")
            run.say(f"{file}: {ref.name} version {ref.version} is good, {tests} passed")
    if bad:
        raise typer.Exit(1)


def told(found: Backtest) -> list[str]:
    """Return a backtest in words."""
    lines = [f"{found.decisions} decisions, {found.covered} of them for this policy to answer"]
    for (was, would_be), count in sorted(found.verdicts.items()):
        lines.append(f"{count:>8}  {was} → {would_be}" + ("" if was == would_be else "  *"))
    lines += [f"position {c.position}, {c.release} at {c.gate}: {c.was} → {c.would_be}: {c.summary}"
              for c in found.changes]  # fmt: skip
    lines.append(f"{len(found.releases)} releases affected: {', '.join(found.releases) or '-'}")
    lines.append(f"waiting: {found.added} added, {found.saved} saved; "
                 f"{len(found.never)} that passed would not have yet")  # fmt: skip
    lines.append(f"would have blocked {len(found.blocked)} of the {len(found.failed)} releases "
                 "that were let pass and failed")  # fmt: skip
    return lines


async def _backtest(
    client: Client, ledger: str, candidate: Policy, first: int, last: int | None
) -> Backtest:
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    http, history = HttpLedger(client), Remembered()
    try:
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task("reading", total=None)
            while True:
                page = await http.page(ledger, len(history.events), limit=1000)
                history.extend(page.events)
                progress.update(task, completed=len(history.events), total=page.head)
                if len(history.events) >= min(page.head, last or page.head):
                    break
    finally:
        await client.close()
    return await backtest(history, ledger, candidate, first, last)


async def _replay(client: Client, ledger: str, first: int, last: int | None) -> list[Replayed]:
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    http = HttpLedger(client)
    found: list[Replayed] = []
    try:
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task("judging", total=None)
            walk = replay_all(http, ledger, Reader(http, ledger, ()), first, last)
            async for at, end, replayed in walk:
                progress.update(task, completed=max(0, at - first + 1), total=end - first + 1)
                if replayed is not None:
                    found.append(replayed)
    finally:
        await client.close()
    return found
