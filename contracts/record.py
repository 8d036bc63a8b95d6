"""The shape of a Kafka record on our side of the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way out (to `partition`) or in (from `partition`, `offset`)."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    offset: int = -1

    def header(self, name: str) -> str | None:
        """Return a header's text, None when missing or not UTF-8; of a repeated one the last."""
        raw = dict(self.headers).get(name)
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError:
            return None
