"""The commands about read models: building them anew, and going back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
import uvloop
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from contracts.problem import Problem
from services import assembly, run
from services.kit import database
from services.kit.identity import Keyring
from services.kit.remote import HttpLedger
from services.kit.settings import SettingsError

projection = typer.Typer(help="Read models: build them anew, go back.", no_args_is_help=True)
Name = Annotated[str | None, typer.Option(help="the ledger's name; else that of PROJECTOR_LEDGER")]
T = TypeVar("T")


class Tools:
    """What the commands work with: a database, and a ledger where it is needed."""

    def __init__(self, engine: database.Engine, ledger: HttpLedger, name: str) -> None:
        self.engine = engine
        self.ledger = ledger
        self.name = name


@projection.command("replay")
def replay(ledger: Name = None) -> None:
    """Build all read models anew beside the live ones, check them, and make them live.

    Interrupted, it goes on where it stopped. Events that were parked are folded again in their
    order: this is how they come back.
    """
    from services.projector.checking import Differs  # noqa: PLC0415 - not needed to serve
    from services.projector.rebuilding import Rebuild, Rebuilt  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} events/s"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as progress:
        task = progress.add_task("folding", total=None, rate=0.0)

        def advance(at: int, head: int) -> None:
            progress.update(task, completed=at, total=head)
            progress.update(task, rate=progress.tasks[task].speed or 0.0)

        async def work(tools: Tools) -> Rebuilt:
            try:
                return await Rebuild(tools.engine, tools.ledger, tools.name, advance).run()
            except Differs as error:
                raise SettingsError(f"the new read models are not made live: {error}") from None

        made = _run(work, ledger)
    rate = made.events / max(made.seconds, 0.001)
    run.say(f"generation {made.generation.number} is live: {made.events} events in"
            f" {made.seconds:.1f} s, {rate:.0f} events/s")  # fmt: skip
    run.say(f"{made.compared} rows are as a fold of their own gives them; digest {made.digest}")
    if made.parked:
        run.say(f"{made.parked} subjects are parked still")


@projection.command("back")
def back(ledger: Name = None) -> None:
    """Make the read models before the last replay live again, caught up."""
    from services.projector.rebuilding import NothingKept, Rebuild  # noqa: PLC0415 - as above

    async def work(tools: Tools) -> int:
        try:
            return (await Rebuild(tools.engine, tools.ledger, tools.name).back()).number
        except NothingKept as error:
            raise SettingsError(str(error)) from None

    run.say(f"generation {_run(work, ledger)} is live again")


@projection.command("list")
def list_(ledger: Name = None) -> None:
    """Tell which generations there are, and which is live."""
    from services.projector.generations import FIRST, Generations  # noqa: PLC0415 - as above

    known = _run(lambda tools: Generations(tools.engine, tools.name).known(), ledger)
    if not known:
        run.say(f"generation {FIRST.number} is live; nothing was built anew yet")
    for each in known:
        since = f" since {each.live_since:%Y-%m-%d %H:%M:%S %Z}" if each.live_since else ""
        run.say(f"generation {each.generation.number}: {each.state}{since}")


def _run(work: Callable[[Tools], Awaitable[T]], ledger: str | None) -> T:
    told = assembly.Settings.load()
    if told.shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database of the read models: set it")
    url = told.shared.database_url.get_secret_value()

    async def all_() -> T:
        run.collect_less()
        calls = assembly.Calls(told.shared, Keyring(), {})
        client = calls.client("projection", "ledger")
        engine = database.engine(url, "projection", 3, role="rlg_projector")
        try:
            name = ledger or told.projector.ledger
            return await work(Tools(engine, HttpLedger(client), name))
        except (Problem, *database.DatabaseError) as error:
            raise SettingsError(str(error)) from error
        finally:
            await engine.dispose()
            await client.close()

    return uvloop.run(all_())
