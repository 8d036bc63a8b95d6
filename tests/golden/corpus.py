"""The corpus: recorded events in their stored form, with what they give out and read as.

`events/<position>-<name>.json` is one event, sealed by its line in `events/SHA256SUMS`. Both only
grow. `python -m tests.golden.corpus` adds the events of `everyday` and `odd` that have no file yet,
at the end; it overwrites nothing.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts import catalogue, ijson, leaf, upcasting
from contracts.event import Event, Origin, RecordedEvent, format_time, parse_time
from services.ledger import body
from services.ledger.model import Submission
from tests.golden.everyday import everyday
from tests.golden.odd import odd

EVENTS = Path(__file__).parent / "events"
SEALS = EVENTS / "SHA256SUMS"
START = datetime(2026, 3, 2, 10, 0, 0, 123456, tzinfo=UTC)
ORIGIN = {"principal": "key:ci", "assurance": "A2"}


@dataclass(frozen=True, slots=True)
class Golden:
    """One file of the corpus."""

    name: str
    document: dict[str, Any]

    @property
    def bytes_(self) -> bytes:
        """The stored bytes."""
        return str(self.document["stored"]["body"]).encode()

    @property
    def sent(self) -> dict[str, Any]:
        """The CloudEvent, parsed from the stored bytes."""
        event: dict[str, Any] = json.loads(self.bytes_)["event"]
        return event

    @property
    def origin(self) -> Origin:
        """How it came in."""
        return Origin.model_validate(json.loads(self.bytes_)["origin"])

    @property
    def foreign(self) -> bool:
        """Whether the catalogue that took it was not the one of its day here."""
        return bool(self.document["foreign"])

    @property
    def recorded(self) -> RecordedEvent:
        """The event as readers get it from the ledger."""
        return RecordedEvent.model_validate_json(self.document["given_out"])

    def stored(self) -> body.Recorded:
        """Return the row as the ledger reads it back."""
        stored = self.document["stored"]
        return body.Recorded(
            position=stored["position"],
            versions=stored["versions"],
            recorded_at=parse_time(stored["recorded_at"]),
            commitment=bytes.fromhex(stored["commitment"]),
            body=self.bytes_,
        )


def load() -> list[Golden]:
    """Return the corpus in order of position."""
    paths = sorted(EVENTS.glob("*.json"))
    return [Golden(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def seals() -> dict[str, str]:
    """Return file name → SHA-256 (hex), as sealed."""
    lines = SEALS.read_text(encoding="utf-8").splitlines() if SEALS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def add() -> list[str]:
    """Add what has no file yet; return the names. Raises `FileExistsError` before it overwrites."""
    present = load()
    known = {golden.name.partition("-")[2] for golden in present}
    versions: Counter[str] = Counter()
    for golden in present:
        versions.update(golden.document["stored"]["versions"].keys())
    new = {name: each for name, each in (everyday() | odd()).items() if name not in known}
    documents = {
        f"{position:04}-{name}.json": _document(name, sample, position, versions)
        for position, (name, sample) in enumerate(new.items(), start=len(present) + 1)
    }
    for file, document in documents.items():
        _write(file, document)
    return list(documents)


def _document(
    name: str, sample: dict[str, Any], position: int, versions: Counter[str]
) -> dict[str, Any]:
    event = {"id": f"odd-{name}"} | sample["event"]
    origin = Origin.model_validate(sample.get("origin") or ORIGIN)
    foreign = bool(sample.get("foreign"))
    subjects = _foreign_subjects(event) if foreign else catalogue.subjects_of(_parse(event))
    versions.update(subjects)
    salt = hashlib.sha256(name.encode()).digest()[: body.SALT_BYTES]
    stored = _body(event, origin) if foreign else _made(event, origin)
    row = body.Recorded(
        position=position,
        versions={subject: versions[subject] for subject in subjects},
        recorded_at=START + timedelta(minutes=position),
        commitment=hashlib.sha256(salt + stored).digest(),
        body=stored,
    )
    document: dict[str, Any] = {
        "foreign": foreign,
        "stored": {
            "position": position,
            "key": str(leaf.event_uuid(event["id"])),
            "versions": row.versions,
            "recorded_at": format_time(row.recorded_at),
            "salt": salt.hex(),
            "commitment": row.commitment.hex(),
            "body": stored.decode(),
        },
        "given_out": row.as_json().decode(),
        "as_read": _as_read(row.as_model()),
    }
    return document | ({"received": sample["received"]} if "received" in sample else {})


def _parse(event: dict[str, Any]) -> Event:
    return catalogue.parse(ijson.loads(ijson.dumps(event)))


def _made(event: dict[str, Any], origin: Origin) -> bytes:
    return body.make(Submission(_parse(event), origin)).body


def _body(event: dict[str, Any], origin: Origin) -> bytes:
    parts = ijson.dumps(event), ijson.dumps(origin.model_dump(exclude_none=True))
    return b'{"event":%b,"origin":%b}' % parts


def _foreign_subjects(event: dict[str, Any]) -> list[str]:
    """Return what another catalogue may have named: what the fields that we know name."""
    model = catalogue.CATALOGUE.get(event["type"])
    named = [event["subject"]]
    if model is not None:
        with contextlib.suppress(ValueError):
            named += model.model_validate(event["data"], extra="ignore").subjects()
    return list(dict.fromkeys(named))


def _as_read(event: RecordedEvent) -> dict[str, Any] | None:
    try:
        read = upcasting.read(event)
    except upcasting.CannotRead:
        return None
    return {"type": read.type, "data": read.event.get("data")}


def _write(file: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1) + "\n"
    with (EVENTS / file).open("x", encoding="utf-8") as out:
        out.write(text)
    with SEALS.open("a", encoding="utf-8") as out:
        out.write(f"{hashlib.sha256(text.encode()).hexdigest()}  {file}\n")


def received(golden: Golden) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the request that an event came in by."""
    request = golden.document["received"]
    return request["headers"], base64.b64decode(request["body_base64"])


if __name__ == "__main__":
    for made in add():
        print(made)  # noqa: T201 - a command tells what it did
