"""What the answers make of rows that sound odd."""

import pytest

from services.projector import answers
from services.projector.web.people import Directory, Person


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:10Z", 10),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", 0),
        ("2026-03-01T12:00:00Z", "2026-02-01T12:00:00Z", None),  # deployed before it was planned
        ("2026-03-01T12:00:00Z", None, None),
    ],
)
def test_a_lead_time_is_never_negative(start: str, end: str | None, seconds: float | None) -> None:
    assert answers.between(start, end) == seconds


def test_people_are_found_by_the_name_that_the_console_shows() -> None:
    directory = Directory([Person("dev:tim", "Tim Berger"), Person("dev:ada", "Ada Marlow")])
    found = directory.named(" tim berger ")
    assert found is not None
    assert found.id == "dev:tim"
    assert directory.named("tim") is None
