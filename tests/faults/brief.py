"""A pytest plugin for planted bugs: a failing example is enough, the smallest one is not wanted."""

from __future__ import annotations

from hypothesis import Phase, settings


def pytest_configure() -> None:
    """Leave out shrinking and explaining, which take minutes."""
    house = settings.get_profile("house")
    settings.register_profile("brief", house, phases=(Phase.explicit, Phase.generate))
    settings.load_profile("brief")
