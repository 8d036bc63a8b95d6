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
