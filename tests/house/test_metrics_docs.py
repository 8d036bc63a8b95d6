"""docs/operations.md lists exactly the metrics that exist."""

from services.kit import metrics
from tests.house import tables


def test_the_table_is_the_closed_list() -> None:
    assert tables.committed("metrics") == tables.metric_rows(), "run python -m tests.house.tables"


def test_names_follow_the_conventions_of_prometheus() -> None:
    for spec in metrics.CATALOGUE:
        assert spec.name.startswith("rlg_")
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert spec.kind != "histogram" or spec.name.endswith(("_seconds", "_events")), spec.name
        assert not {"path", "url", "release", "principal"} & set(spec.labels), spec.name
