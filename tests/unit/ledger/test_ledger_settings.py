from __future__ import annotations

import pytest
from pydantic import ValidationError

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
