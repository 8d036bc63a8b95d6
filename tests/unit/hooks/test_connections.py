import json
from pathlib import Path
from typing import Any

import pytest

from contracts.problem import NotFound
from services.kit.settings import SettingsError
from services.ledger.hooks.connections import DEMO_SECRET, read

SECRET = "a-secret-of-fair-length"


def file(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "connections.json"
    path.write_text(json.dumps(rows))
    return path


def row(**members: Any) -> dict[str, Any]:
    return {"name": "acme", "adapter": "github", "secrets": [SECRET]} | members


def test_a_file_gives_connections_with_maps_and_hidden_secrets(tmp_path: Path) -> None:
    maps = {"service_map": {"acme/pay": "payments"}, "tiers": {"live": "production"}}
    known = read(file(tmp_path, row(**maps, incident_severities=["sev1"])), dev=False)
    acme = known["acme"]
    assert list(known) == ["acme"]
    assert (acme.ledger, acme.secret_values) == ("main", [SECRET])
    assert acme.scope.environment("live") == {"id": "live", "tier": "production"}
    assert acme.scope.incident_severities == {"sev1"}
    assert SECRET not in repr(acme)


def test_development_has_the_demos_connections_and_nothing_else_has() -> None:
    known = read(None, dev=True)
    assert sorted(known) == ["alertmanager", "cloudevents", "github"]
    assert known["github"].secret_values == [DEMO_SECRET]
    assert len(read(None, dev=False)) == 0


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(NotFound):
        read(None, dev=True)["gitlab"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row(secrets=[DEMO_SECRET])], "sample secret"),
        ([row(secrets=["short"])], "at least 16"),
        ([row(secrets=[])], "/0/secrets"),
        ([row(adapter="svn")], "/0/adapter"),
        ([row(colour="red")], "/0/colour"),
        ([row(), row()], "twice"),
        ([row(tiers={"live": "prod"})], "/0/tiers"),
    ],
)
def test_a_wrong_file_stops_the_start_with_a_sentence(
    tmp_path: Path, rows: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence) as refusal:
        read(file(tmp_path, *rows), dev=False)
    assert SECRET not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        read(tmp_path / "nowhere.json", dev=False)
