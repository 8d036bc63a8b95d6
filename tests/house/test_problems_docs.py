"""docs/problems.md explains exactly the problems that exist: status, title, what to do."""

import re
from pathlib import Path

from contracts import problem
from services.ledger import settling

DOC = (Path(__file__).parents[2] / "docs" / "problems.md").read_text(encoding="utf-8")
SECTION = re.compile(
    r"^## (\S+)\n\n\*\*(\d{3})\*\* · ([^\n]+)\n\n(.+?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


def test_the_docs_and_the_family_name_the_same_problems() -> None:
    documented = [(slug, int(status), title) for slug, status, title, _ in SECTION.findall(DOC)]
    assert documented == [(p.slug, p.status, p.title) for p in problem.ALL]


def test_every_problem_says_what_to_do() -> None:
    for slug, _, _, body in SECTION.findall(DOC):
        assert re.search(r"^What to do: \S", body, re.MULTILINE), slug


def test_slugs_are_unique_and_come_back_as_the_same_class() -> None:
    assert len({p.slug for p in problem.ALL}) == len(problem.ALL)
    for kind in problem.ALL:
        again = problem.from_json(kind("why").as_json(), kind.status)
        assert type(again) is kind


def test_the_docs_quote_what_an_unknown_outcome_says() -> None:
    (unavailable,) = [body for slug, *_, body in SECTION.findall(DOC) if slug == "unavailable"]
    assert f'"{settling.UNKNOWN}"' in " ".join(unavailable.split())
