"""The docs name files that exist and link to places that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted(
    p for p in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md"), *ROOT.glob("docs/**/*.md")]
    if ".venv" not in p.parts
)  # fmt: skip
FOLDERS = {"contracts", "services", "migrations", "deploy", "demo", "tests", "bench", "docs"}
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
STEP = re.compile(r"^\d+\. ", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def _paths(text: str) -> list[str]:
    """Return the words in code marks that claim to be a path in this repository."""
    found = [word.split("::")[0] for word in CODE.findall(text)]
    return [
        word
        for word in found
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", word) and word.split("/")[0] in FOLDERS
    ]


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(path: Path) -> None:
    missing = [name for name in _paths(_prose(path)) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = [to for to in LINK.findall(_prose(path)) if not (path.parent / to).exists()]
    assert broken == []


def test_the_life_of_an_event_is_a_walk_through_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = text.split("## The life of an event", 1)[1].split("\n## ", 1)[0]
    steps = STEP.split(walk)[1:]
    assert len(steps) >= 8
    for number, step in enumerate(steps, start=1):
        assert _paths(step), f"step {number} names no file"


def test_the_decisions_are_numbered_listed_short_and_of_one_form() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    for number, path in enumerate(records, start=1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04}-")
        assert f"({path.name})" in listed
        assert len(text.splitlines()) <= 25, path.name
        assert HEADING.findall(text) == ["Context", "Decision", "Consequences"], path.name
