"""Which senders this process knows: connections with their secrets and maps, sources by Kafka.

The file named by `LEDGER_CONNECTIONS_FILE` is a JSON list of `Connection` objects. In development
mode the three demo connections with the marked sample secret are there as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from contracts import topics
from contracts.ijson import pointer
from contracts.payloads.model import Tier
from contracts.problem import NotFound
from services.kit.settings import SettingsError
from services.ledger.hooks import kafka_records
from services.ledger.hooks.adapter import Scope
from services.ledger.sources import OPEN, Source, Sources

DEMO_SECRET = "demo-secret"  # noqa: S105 - the marked sample; refused outside development
SHORTEST_SECRET = 16
AdapterName = Literal["github", "alertmanager", "cloudevents"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Connection(BaseModel):
    """One sender. `secrets` are all valid at once, for rotation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    adapter: AdapterName
    secrets: list[SecretStr] = Field(min_length=1, max_length=5)
    ledger: Name = "main"
    service_map: dict[str, str] = Field(default_factory=dict)
    """Their name of a repository or service → our service id."""
    tiers: dict[str, Tier] = Field(default_factory=dict)
    """Their name of an environment → its tier."""
    incident_severities: list[str] = ["critical", "page"]
    commit_people: bool = False
    """Take addresses of authors, committers and co-authors from commits: they are personal data,
    and gates then ask whose each of them is (`identity.linked`)."""
    _sources: Sources = PrivateAttr(default_factory=Sources)

    @property
    def secret_values(self) -> list[str]:
        """The active secrets, in the clear."""
        return [secret.get_secret_value() for secret in self.secrets]

    @property
    def scope(self) -> Scope:
        """What the adapter may know."""
        severities = frozenset(self.incident_severities)
        return Scope(
            self.name, self.service_map, self.tiers, severities, self._sources, self.commit_people
        )


Entry = TypeVar("Entry", Connection, Source)


class Connections(Mapping[str, Connection]):
    """The connections by name. `[]` raises `NotFound`."""

    def __init__(self, connections: Iterable[Connection]) -> None:
        self._by_name = {connection.name: connection for connection in connections}

    def __getitem__(self, name: str) -> Connection:
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound("no such connection") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def read(
    file: Path | None, ledgers: Iterable[str] = (), sources: Sources | None = None, *, dev: bool
) -> Connections:
    """Read the connections, or raise `SettingsError`. The sample secret needs `dev`.

    Each of `ledgers` has one more, for Kafka records that could not be taken in; `sources` say
    which of them may be; without it none.
    """
    known = demo() if dev else []
    known += [] if file is None else _entries(file, TypeAdapter(list[Connection]), "connections")
    for connection in known:
        for secret in connection.secret_values:
            _check(connection.name, secret, dev=dev)
    return Connections([*known, *(for_kafka(name, sources or Sources()) for name in ledgers)])


def for_kafka(ledger: str, sources: Sources) -> Connection:
    """Return the connection of a ledger's rejected Kafka records; see `kafka_records`."""
    name = kafka_records.connection_of(ledger)
    fields: dict[str, Any] = {"name": name, "adapter": "kafka", "secrets": [], "ledger": ledger}
    made = Connection.model_construct(**fields)
    made._sources = sources  # noqa: SLF001 - its own, and no part of the file
    return made


def demo() -> list[Connection]:
    """Return the demo's connections; the caller has made sure that this is development."""
    secret = SecretStr(DEMO_SECRET)
    names: tuple[AdapterName, ...] = ("github", "alertmanager", "cloudevents")
    return [Connection(name=name, adapter=name, secrets=[secret]) for name in names]


def read_sources(file: Path | None, *, dev: bool) -> Sources:
    """Read who may write by Kafka, or raise `SettingsError`."""
    if file is None:
        return OPEN if dev else Sources()
    found = _entries(file, TypeAdapter(list[Source]), "sources")
    for each in found:
        if each.topic in topics.ALL and each.topic != topics.INGEST:
            raise SettingsError(f"the sources file {file}: {each.topic} is ours to write")
    return Sources(found)


def _entries(file: Path, shape: TypeAdapter[list[Entry]], what: str) -> list[Entry]:
    try:
        found = shape.validate_json(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"the {what} file {file}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = pointer(first["loc"])
        raise SettingsError(f"the {what} file {file}: {where}: {first['msg']}") from None
    if len({each.name for each in found}) != len(found):
        raise SettingsError(f"the {what} file {file} has a name twice")
    return found


def _check(name: str, secret: str, *, dev: bool) -> None:
    if secret == DEMO_SECRET:
        if not dev:
            raise SettingsError(f"connection {name}: the sample secret is refused outside RLG_DEV")
    elif len(secret) < SHORTEST_SECRET:
        raise SettingsError(
            f"connection {name}: a secret has at least {SHORTEST_SECRET} characters"
        )
