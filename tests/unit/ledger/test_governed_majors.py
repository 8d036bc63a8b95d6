"""A new major must not slip past the scope that its type needs."""

from contracts.catalogue import CATALOGUE
from services.ledger.admission import NEEDED


def stem(type_: str) -> str:
    return type_.rpartition(".v")[0]


def test_every_major_of_a_type_that_governs_needs_the_same_scope() -> None:
    governed = {stem(type_): scope for type_, scope in NEEDED.items()}
    assert len(governed) >= 4
    majors = {type_: governed[stem(type_)] for type_ in CATALOGUE if stem(type_) in governed}
    assert majors == NEEDED
