from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.kit.settings import SettingsError, read
from services.ledger.settings import LedgerSettings


def test_names_are_split_and_each_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LedgerSettings().ledgers == ["main"]
    monkeypatch.setenv("LEDGER_NAMES", "main, eu-west,main")
    assert LedgerSettings().ledgers == ["main", "eu-west"]


@pytest.mark.parametrize("names", ["Main", "a,,b", "1st", "a/b"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_NAMES", names)
    with pytest.raises(ValidationError):
        LedgerSettings()


def test_the_lowest_epochs_are_told_by_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LedgerSettings().min_epochs == {}
    monkeypatch.setenv("LEDGER_MIN_EPOCH", "main=2, eu-west=13")
    assert LedgerSettings().min_epochs == {"main": 2, "eu-west": 13}


@pytest.mark.parametrize("epochs", ["2", "main", "main=0", "main=two", "main=-1", "main=2=3"])
def test_an_epoch_that_cannot_be_read_is_refused(
    epochs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_MIN_EPOCH", epochs)
    with pytest.raises(ValidationError):
        LedgerSettings()


def test_databases_are_pairs_whatever_is_in_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    acme, beta = "postgresql://u:p=a,b%20c@h1,h2/x?host=/s", "postgres://u@h/y"
    monkeypatch.setenv("LEDGER_NAMES", "main,acme,beta")
    monkeypatch.setenv("LEDGER_DATABASES", f" acme={acme}\n beta={beta} ")
    assert LedgerSettings().elsewhere == {"acme": acme, "beta": beta}
    assert LedgerSettings().ledgers == ["main", "acme", "beta"]


def test_no_ledger_lives_elsewhere_unless_it_is_said() -> None:
    assert LedgerSettings().elsewhere == {}


@pytest.mark.parametrize(
    ("databases", "says"),
    [
        ("acme", "pair 1 is not of the form"),
        ("acme=postgresql://u:secret@h/x secret", "pair 2 is not of the form"),
        ("Acme=postgresql://u:secret@h/x", "pair 1 is not of the form"),
        ("acme=mysql://u:secret@h/x", "what stands for acme does not begin with postgresql://"),
        ("acme=postgresql://h/x acme=postgresql://u:secret@h/y", "acme stands there twice"),
        ("amce=postgresql://u:secret@h/x", "it names amce, and LEDGER_NAMES does not"),
    ],
)
def test_a_wrong_database_is_one_sentence_without_the_secret(
    databases: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_NAMES", "main,acme")
    monkeypatch.setenv("LEDGER_DATABASES", databases)
    with pytest.raises(SettingsError, match="LEDGER_DATABASES is not valid") as caught:
        read(LedgerSettings)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_databases_are_masked_when_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_NAMES", "acme")
    monkeypatch.setenv("LEDGER_DATABASES", "acme=postgresql://u:secret@h/x")
    assert "secret" not in f"{LedgerSettings()!r} {LedgerSettings().databases}"
