"""Tables of the docs that are made from the code: `python -m tests.house.tables` writes them anew.

A table stands between `<!-- begin: name -->` and `<!-- end: name -->`; the tests beside this file
hold what is committed against what would be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contracts.catalogue import CATALOGUE
from contracts.event import OURS
from contracts.payloads.earlier import successor
from contracts.payloads.model import Payload
from services.kit import metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def events() -> str:
    """Every type of the catalogue, by phase: its fields and the subjects that it names."""
    lines: list[str] = []
    phase = None
    for type_, model in CATALOGUE.items():
        if model.__module__ != phase:
            phase = model.__module__
            lines += ["", f"## {_title(phase)}", "", *_row("type", "meaning", "required fields")]
            lines[-1] += " optional fields | subjects named |"
            lines.append("|---" * 5 + "|")
        lines.append(_event_row(type_.removeprefix(OURS), model))
    return "\n".join(lines).strip("\n")


def metric_rows() -> str:
    """Every metric of the closed list."""
    rows = [
        f"| `{spec.name}` | {spec.kind} | {_codes(spec.labels)} | {spec.meaning} |"
        for spec in metrics.CATALOGUE
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])


TABLES: dict[str, tuple[Path, Callable[[], str]]] = {
    "events": (DOCS / "events.md", events),
    "metrics": (DOCS / "operations.md", metric_rows),
}


def committed(name: str) -> str:
    """Return a table as it stands in its document."""
    path, _ = TABLES[name]
    found = _block(name).search(path.read_text(encoding="utf-8"))
    if found is None:
        raise LookupError(f"{path} has no block {name}")
    return found.group(2).strip("\n")


def write() -> None:
    """Write every table into its document."""
    for name, (path, make) in TABLES.items():
        text = path.read_text(encoding="utf-8")
        table = make()
        path.write_text(
            _block(name).sub(lambda m, t=table: f"{m[1]}\n{t}\n{m[3]}", text),  # type: ignore[misc]
            encoding="utf-8",
        )


def subjects(model: type[Payload]) -> list[str]:
    """Return what a payload names as templates, like `release:{release_id}`."""
    schema = model.model_json_schema()
    return [*_named(schema, schema.get("$defs", {}), ""), *model.composed]


def _named(schema: dict[str, Any], defs: dict[str, Any], path: str) -> Iterator[str]:
    if "x-subject-kind" in schema:
        yield f"{schema['x-subject-kind']}:{{{path}}}"
    for name, field in schema.get("properties", {}).items():
        yield from _named(field, defs, f"{path}.{name}" if path else name)
    for choice in schema.get("anyOf", ()):
        yield from _named(choice, defs, path)
    if "items" in schema:
        yield from _named(schema["items"], defs, path + "[]")
    if "$ref" in schema:
        yield from _named(defs[schema["$ref"].rpartition("/")[2]], defs, path)


def _event_row(name: str, model: type[Payload]) -> str:
    required = [n for n, f in model.model_fields.items() if f.is_required()]
    optional = [n for n, f in model.model_fields.items() if not f.is_required()]
    meaning = " ".join((model.__doc__ or "").split("\n\n")[0].split())
    if (newest := successor(name)) is not None:
        meaning += f" Deprecated: send `{newest}`."
    cells = f"`{name}`", meaning, _codes(required), _codes(optional), _codes(subjects(model))
    return "| " + " | ".join(cells) + " |"


def _row(*cells: str) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _codes(names: object) -> str:
    assert isinstance(names, list | tuple)
    return ", ".join(f"`{name}`" for name in names) or "–"


def _title(module: str) -> str:
    doc = sys.modules[module].__doc__ or ""
    return re.split(r"[.:]\s", doc.strip() + " ")[0].rstrip(".")


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- begin: {name} -->)(.*?)(<!-- end: {name} -->)", re.DOTALL)


if __name__ == "__main__":
    write()
