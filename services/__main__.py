"""The composition root and its commands: `python -m services --help`."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from services import assembly, erasing, judging, projecting, proving, run
from services.kit import clock, identity, logs, settings
from services.kit.settings import SettingsError, Shared
from services.projector.web.people import Person

cli = typer.Typer(
    help="release-ledger: the system of record for software releases.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_ABSENT_IN_SOME_IMAGES = ("EmbeddedUnavailable", "MigrationRefused")
"""Faults of packages that are imported where they are needed, told in one sentence too."""


def main() -> None:
    """Run the command line; a fault that a person can mend is one sentence and exit code 1."""
    try:
        cli()
    except run.Stopped:
        run.say("stopped")
    except Exception as error:
        if isinstance(error, SettingsError) or type(error).__name__ in _ABSENT_IN_SOME_IMAGES:
            print(f"release-ledger: {error}", file=sys.stderr)  # noqa: T201 - for a person
            sys.exit(1)
        raise


@cli.command("all")
def all_() -> None:
    """Run all services in one process, with an embedded PostgreSQL and Kafka if none are given."""
    told = _settings()
    logs.configure(told.shared.log, logging.WARNING)
    run.say("release-ledger is starting")
    uvloop.run(run.run_all(told))
    run.say("stopped")


def _alone(name: str) -> None:
    told = _settings()
    logs.configure(told.shared.log)
    if told.shared.database_url is None:
        raise SettingsError(f"DATABASE_URL is needed to run the {name} alone")

    async def started(url: str) -> None:
        run.say(f"{name} answers on {url}")

    async def body() -> None:
        port = run.take_port(told.shared)
        await run.serve(assembly.alone(name, told), port, started)

    uvloop.run(body())


@cli.command()
def ledger() -> None:
    """Run the ledger alone."""
    _alone("ledger")


@cli.command()
def sealer() -> None:
    """Run the sealer alone: its own process, with its own keys and its own memory."""
    _alone("sealer")


@cli.command()
def projector() -> None:
    """Run the projector and the console alone."""
    _alone("projector")


@cli.command()
def gatekeeper() -> None:
    """Run the gatekeeper alone."""
    _alone("gatekeeper")


@cli.command()
def migrate() -> None:
    """Bring DATABASE_URL and the databases of LEDGER_DATABASES to the newest schema."""
    told = assembly.Settings.load()
    if told.shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database to migrate: set it")
    complaints = run.migrate(told)
    if complaints:
        raise SettingsError("; ".join(complaints))
    run.say("the database has the newest schema")


@cli.command()
def epoch(
    reason: Annotated[str, typer.Option(help="why, for example: failover to db2 after a fire")],
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
) -> None:
    """Begin a ledger's next epoch, after a failover or a restore; recorded for ever."""
    from services.ledger.epoch import begin  # noqa: PLC0415 - not needed to serve

    told = assembly.Settings.load()
    url = told.ledger.elsewhere.get(ledger) or _database_url(told)
    begun = uvloop.run(begin(url, ledger, reason))
    run.say(f"the ledger {ledger} was in epoch {begun.former} and is in epoch {begun.present}")
    run.say(f"its head is position {begun.head}, commitment {begun.commitment or '-'}")


@cli.command()
def key(
    name: Annotated[str, typer.Argument(help="who will use it, for example ci-pay")],
    file: Annotated[Path, typer.Option(help="the keys file (RLG_KEYS_FILE of the services)")],
    scope: Annotated[list[str], typer.Option(help=", ".join(identity.SCOPES))],
    days: Annotated[int, typer.Option(help="how long it lives, at most 90")] = 90,
) -> None:
    """Make an API key: prints it once and appends its digest to the keys file."""
    try:
        secret, stored = identity.make_key(name, scope, days, clock.now())
    except ValueError as error:
        raise SettingsError(str(error)) from None
    identity.write_key(file, stored)
    run.say(secret)


cli.add_typer(proving.seal, name="seal")
cli.command()(proving.verify)
cli.add_typer(erasing.erase, name="erase")
cli.add_typer(projecting.projection, name="projection")
cli.add_typer(judging.decisions, name="decisions")
cli.add_typer(judging.policies, name="policies")


@cli.command("settings")
def show_settings() -> None:
    """Print the effective settings, secrets masked."""
    told = _settings()
    for part in (told.shared, told.ledger, told.projector, told.gatekeeper):
        for variable, value in zip(settings.variables(type(part)), part, strict=True):
            run.say(f"{variable}={value[1]}")


@cli.command()
def schemas(
    target: Annotated[Path, typer.Option(help="where to write")] = Path("contracts/schemas"),
) -> None:
    """Write the generated JSON Schema, OpenAPI and AsyncAPI documents."""
    from services.schemas import write  # noqa: PLC0415 - not needed to serve

    logs.configure(level=logging.WARNING)
    write(target)


def _database_url(told: assembly.Settings) -> str:
    if told.shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database of the ledger: set it")
    return told.shared.database_url.get_secret_value()


def _settings() -> assembly.Settings:
    told = assembly.Settings.load()
    settings.refuse_unsafe(told.shared)
    return replace(told, people=_people(told.shared))


def _people(shared: Shared) -> tuple[Person, ...]:
    """Return the demo's people; there are none outside development mode."""
    if not shared.dev:
        return ()
    from demo.people import PEOPLE  # noqa: PLC0415 - absent in production images

    return tuple(Person(p.id, p.name, p.roles, p.title) for p in PEOPLE)


if __name__ == "__main__":
    main()
