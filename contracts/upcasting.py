"""Reading what was recorded: an event of any age as the newest major of its type.

Nothing that is stored is rewritten. Readers call `read` where events come in and know only the
newest majors. Pure and deterministic: the same record reads the same for ever, which the golden
corpus in `tests/golden/events` holds.
"""

from __future__ import annotations

from operator import is_
from typing import Any

from pydantic import ValidationError

from contracts import ijson
from contracts.catalogue import CATALOGUE
from contracts.event import OURS, HistoryPage, RecordedEvent
from contracts.payloads.earlier import EARLIER, Earlier, next_major

_STEMS = frozenset(type_.rpartition(".v")[0] for type_ in CATALOGUE)


class CannotRead(ValueError):
    """A recorded payload that nobody may interpret: its model refuses it, or it is too new."""


def read(event: RecordedEvent) -> RecordedEvent:
    """Return the event with type and payload of the newest major; all else is as recorded.

    An event that is not ours, or is of the newest major already, comes back as it is, unchecked:
    readers tolerate fields that they do not know. Raises `CannotRead` with the position and a
    sentence when an earlier payload does not follow its model, and for a major of a known type
    that is newer than this catalogue: to fold it by the old meaning would be a guess.
    """
    recorded = str(event.event.get("type", ""))
    if recorded in CATALOGUE and recorded.removeprefix(OURS) not in EARLIER:
        return event
    type_, data = recorded, event.event.get("data")
    while (step := EARLIER.get(type_.removeprefix(OURS))) and type_.startswith(OURS):
        data = _climb(event.position, type_, step, data)
        type_ = next_major(type_)
    if type_ not in CATALOGUE and type_.rpartition(".v")[0] in _STEMS:
        raise CannotRead(f"position {event.position}: {type_} is newer than this catalogue")
    if type_ == recorded:
        return event
    return event.model_copy(update={"event": event.event | {"type": type_, "data": data}})


def history(page: HistoryPage) -> HistoryPage:
    """Return the page with each event as `read` gives it. Raises `CannotRead`."""
    events = [read(event) for event in page.events]
    if all(map(is_, events, page.events)):
        return page
    return page.model_copy(update={"events": events})


def _climb(position: int, type_: str, step: Earlier, data: Any) -> dict[str, Any]:
    try:
        step.model.model_validate(data, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = f"/data{ijson.pointer(first['loc'])}"
        detail = f"position {position}: {where} does not follow {type_}: {first['msg']}"
        raise CannotRead(detail) from None
    return step.upcast(data)
