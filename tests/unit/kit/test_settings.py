import pytest

from services.kit import settings
from services.kit.settings import Shared


def test_a_misspelt_variable_stops_the_start_with_its_name() -> None:
    with pytest.raises(settings.SettingsError, match="RLG_PROT"):
        settings.refuse_unknown([Shared], {"RLG_PROT": "1", "HOME": "/"})


def test_a_value_that_cannot_be_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLG_PORT", "70000")
    with pytest.raises(settings.SettingsError, match="RLG_PORT"):
        settings.read(Shared)


@pytest.mark.parametrize("host", ["::", "10.0.0.7", "ledger.example"])
def test_development_mode_is_refused_unless_bound_to_loopback(host: str) -> None:
    with pytest.raises(settings.SettingsError, match="refused"):
        settings.refuse_unsafe(Shared(host=host, dev=True))
    settings.refuse_unsafe(Shared(host=host, dev=False))
    settings.refuse_unsafe(Shared(host="127.0.0.1", dev=True))


def test_settings_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        Shared().port = 1  # type: ignore[misc]
