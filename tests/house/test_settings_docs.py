"""docs/operations.md lists exactly the settings that are read, with their defaults."""

import re
from pathlib import Path
from typing import Any

from services import assembly
from services.kit.settings import variables

DOC = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def _shown(default: Any) -> str:
    if default is None:
        return "–"
    return f"`{int(default) if isinstance(default, bool) else default}`"


def _read() -> dict[str, str]:
    return {
        variable: _shown(field.default)
        for kind in assembly.CLASSES
        for variable, field in zip(variables(kind), kind.model_fields.values(), strict=True)
    }


def _documented() -> dict[str, str]:
    return {variable: default for variable, default, _ in ROW.findall(DOC)}


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert set(_documented()) == set(_read())


def test_the_defaults_are_the_real_ones() -> None:
    assert _documented() == _read()


def test_every_setting_is_explained() -> None:
    for variable, _, meaning in ROW.findall(DOC):
        assert len(meaning) > 15, f"{variable}: say what it does"
