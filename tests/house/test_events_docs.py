"""docs/events.md lists exactly the types of the catalogue, with what they name."""

from contracts.catalogue import CATALOGUE
from contracts.event import OURS
from contracts.subject import KINDS
from tests.house import tables


def test_the_catalogue_of_the_docs_is_the_one_of_the_code() -> None:
    assert tables.committed("events") == tables.events(), "run python -m tests.house.tables"


def test_every_type_has_a_row_and_names_a_subject() -> None:
    table = tables.committed("events")
    for type_, model in CATALOGUE.items():
        assert f"| `{type_.removeprefix(OURS)}` |" in table
        named = tables.subjects(model)
        assert {template.partition(":")[0] for template in named} <= set(KINDS), type_
