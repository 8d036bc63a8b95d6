"""Puts the services together: all of them in one app, or one of them alone.

The same `build` functions serve both shapes. In one app the HTTP clients get an in-process
transport; apart they get URLs. Nothing else differs.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contracts.event import Assurance
from services.gatekeeper import service as gatekeeper_service
from services.gatekeeper.settings import GatekeeperSettings
from services.kit.identity import Key, Keyring, demo_key, digest
from services.kit.kafka import KafkaFeed
from services.kit.remote import Client, HttpFeed, HttpLedger
from services.kit.service import App, Service, add_health, compose, give_up, new_app
from services.kit.settings import LOOPBACK, SettingsError, Shared, read, refuse_unknown
from services.ledger import service as ledger_service
from services.ledger.sealing import service as sealing_service
from services.ledger.sealing.where import Neighbours
from services.ledger.settings import LedgerSettings
from services.projector import service as projector_service
from services.projector.settings import ProjectorSettings

if TYPE_CHECKING:
    from services.kit.ports import Feed
    from services.projector.web.people import Person

NAMES = ("ledger", "projector", "gatekeeper")
CLASSES = (Shared, LedgerSettings, ProjectorSettings, GatekeeperSettings)
_NEVER = datetime.max.replace(tzinfo=UTC)
_OWN_SCOPES = frozenset({"read", "event:write", "decision:make", "act-as"})


@dataclass(frozen=True)
class Settings:
    """Everything that the three services are told."""

    shared: Shared
    ledger: LedgerSettings
    projector: ProjectorSettings
    gatekeeper: GatekeeperSettings
    people: Sequence[Person] = field(default_factory=tuple)
    """Whom the console may act as in development mode."""

    @classmethod
    def load(cls) -> Settings:
        """Read the environment, or raise `SettingsError`."""
        refuse_unknown(CLASSES)
        return cls(
            read(Shared), read(LedgerSettings), read(ProjectorSettings), read(GatekeeperSettings)
        )


class Calls:
    """The clients with which one service calls the others; closes them all at the end."""

    def __init__(self, shared: Shared, ring: Keyring, built: dict[str, Service]) -> None:
        self._shared = shared
        self._ring = ring
        self._built = built
        self._clients: list[Client] = []

    def client(self, caller: str, called: str) -> Client:
        """Return a client for `called`: in process when it was built here, else by its URL."""
        service = self._built.get(called)
        if service is None:
            made = Client(self._url(called), self._given_key())
        else:
            made = Client(f"http://{called}", self._own_key(caller), service.app)
        self._clients.append(made)
        return made

    def neighbours(self) -> Neighbours:
        """Return who is in this process, for the ledger: they can be its witnesses."""
        return Neighbours(self.dial, lambda: tuple(self._built))

    def dial(self, url: str) -> Client:
        """Return a client for a witness: in process when a service here has that name, else out.

        A policy in development names the neighbours so: `http://gatekeeper/v1/witness`.
        """
        service = self._built.get(urlsplit(url).hostname or "")
        return Client(url, "", None if service is None else service.app)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Close all clients at the end."""
        try:
            yield
        finally:
            for client in self._clients:
                await client.close()

    def _url(self, called: str) -> str:
        url: str | None = getattr(self._shared, f"{called}_url")
        if url is None:
            raise SettingsError(f"RLG_{called.upper()}_URL says where the {called} answers: set it")
        return url

    def _given_key(self) -> str:
        if self._shared.service_key is None:
            raise SettingsError("RLG_SERVICE_KEY is the key for calls between services: set it")
        return self._shared.service_key.get_secret_value()

    def _own_key(self, caller: str) -> str:
        """Make a key that lives as long as this process."""
        secret = secrets.token_urlsafe(32)
        assurance: Assurance = "A0" if self._shared.dev else "A2"
        self._ring.add(
            Key(caller, f"service:{caller}", digest(secret), _OWN_SCOPES, _NEVER, assurance)
        )
        return secret


def keyring(shared: Shared) -> Keyring:
    """Return the keys that this process accepts; the sample key in development mode only."""
    ring = Keyring() if shared.keys_file is None else Keyring.read(shared.keys_file)
    if shared.dev:
        ring.add(demo_key())
    return ring


def all_in_one(settings: Settings) -> App:
    """Return one app with the three services mounted and the console at its root."""
    ring = keyring(settings.shared)
    built: dict[str, Service] = {}
    calls = Calls(settings.shared, ring, built)
    for name in ("ledger", "gatekeeper", "projector"):
        built[name] = _build(name, settings, ring, calls)
    root = new_app("all-in-one", "The three services in one process.")
    services = built.values()
    add_health(
        root,
        {f"{s.name} {name}": check for s in services for name, check in s.checks.items()},
        {f"{s.name} {name}": check for s in services for name, check in s.soft_checks.items()},
    )
    mounts = {f"/{name}": service.app for name, service in built.items()}
    console = {"": built["projector"].app}
    _keep_to_loopback(root, settings.shared)
    return compose([_closing(calls, root), *built.values()], root, mounts | console)


def alone(name: str, settings: Settings) -> App:
    """Return the app of one service that reaches the others by URL."""
    ring = keyring(settings.shared)
    calls = Calls(settings.shared, ring, {})
    service = _build(name, settings, ring, calls, give_up)
    _keep_to_loopback(service.app, settings.shared)
    return compose([_closing(calls, service.app), service], service.app, {})


def _keep_to_loopback(app: App, shared: Shared) -> None:
    if shared.dev:
        app.keep_to(LOOPBACK)


def _closing(calls: Calls, app: App) -> Service:
    return Service("clients", app, calls.open)


def _build(
    name: str, settings: Settings, ring: Keyring, calls: Calls,
    end: Callable[[str], None] | None = None,
) -> Service:  # fmt: skip
    """`end`: what a service that hangs may do with the process; in one with the others, nothing."""
    shared = settings.shared
    if name == "sealer":
        return sealing_service.build(shared, settings.ledger)
    if name == "ledger":
        return ledger_service.build(shared, settings.ledger, ring, calls.neighbours())
    ledger = HttpLedger(calls.client(name, "ledger"))
    feed = _feed(shared, ledger)
    if name == "gatekeeper":
        return gatekeeper_service.build(shared, settings.gatekeeper, ring, ledger, feed)
    neighbours = projector_service.Neighbours(feed, ledger, calls.client(name, "gatekeeper"))
    return projector_service.build(
        shared, settings.projector, ring, neighbours, settings.people, end
    )


def _feed(shared: Shared, ledger: HttpLedger) -> Feed:
    if shared.feed == "http":
        return HttpFeed(ledger)
    if shared.kafka_bootstrap_servers is None:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is needed, or RLG_FEED=http")
    return KafkaFeed(shared.kafka_bootstrap_servers, ledger, epoch_of=ledger.epoch)
