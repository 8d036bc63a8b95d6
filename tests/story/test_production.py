"""Three processes outside development mode: a keys file, and keys that can do what they must."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from contracts.event import OURS
from deploy.embedded import EmbeddedKafka, EmbeddedPostgres, default_cache_dir
from migrations.run import upgrade
from services.kit import clock, identity
from tests.story.served import Shape, apart
from tests.story.teller import until

pytestmark = [pytest.mark.slow, pytest.mark.kafka]
SCOPES = {
    "services": ["read", "event:write", "decision:make", "act-as"],
    "ci": ["read", "event:write"],
    "governance": ["event:write", "role:write"],
}
RELEASE, GATE = "prod-1.0", "deploy:production"
Keys = dict[str, dict[str, str]]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The keys as headers, by their owner; the file has their digests."""
    made = {}
    for name, scopes in SCOPES.items():
        secret, stored = identity.make_key(name, scopes, 1, clock.now())
        identity.write_key(tmp_path / "keys.json", stored)
        made[name] = {"authorization": f"Bearer {secret}"}
    return made


@pytest.fixture
def production(
    tmp_path: Path, postgres: EmbeddedPostgres, kafka: str, keys: Keys
) -> Iterator[Shape]:
    assert kafka  # skips, or fails under CI=true, where there is no broker
    asyncio.run(postgres.ensure_database("production"))
    upgrade(postgres.dsn("production"))
    broker = EmbeddedKafka(tmp_path / "kafka", default_cache_dir(os.environ))
    with asyncio.Runner() as runner:
        runner.run(broker.start())
        made = apart(
            "production", tmp_path, postgres.dsn("production"), broker.bootstrap_servers,
            RLG_DEV="0", RLG_KEYS_FILE=str(tmp_path / "keys.json"),
            RLG_SERVICE_KEY=keys["services"]["authorization"].removeprefix("Bearer "),
        )  # fmt: skip
        yield made
        made.stop()
        runner.run(broker.stop())


def append(shape: Shape, key: dict[str, str], type_: str, **data: object) -> httpx2.Response:
    event = {"specversion": "1.0", "id": f"{type_}/{data}"[:200], "source": "/production",
             "type": OURS + type_, "data": data}  # fmt: skip
    return httpx2.post(f"{shape.ledger}/v1/ledgers/main/events", json=event, headers=key)


def test_facts_roles_votes_and_pages_each_need_their_own_key(production: Shape, keys: Keys) -> None:
    ci, governance = keys["ci"], keys["governance"]
    role = {"scope": "*", "role": "release-manager", "principal": "idp:grace"}
    assert append(production, ci, "role.assigned.v1", **role).status_code == 403
    assert append(production, governance, "role.assigned.v1", **role).status_code == 201
    planned = {"release_id": RELEASE, "name": "One", "service_ids": ["pay"],
               "release_type": "minor", "owner": "idp:tim"}  # fmt: skip
    assert append(production, ci, "release.planned.v1", **planned).status_code == 201
    candidate = {"release_id": RELEASE, "version": "1.0", "manifest_digest": "sha256:" + "ab" * 32,
                 "artifacts": ["sha256:" + "cd" * 32]}  # fmt: skip
    assert append(production, ci, "release.candidate_created.v1", **candidate).status_code == 201

    vote = {"gate": GATE, "decision": "approved", "statement": "As it stands."}
    votes = f"{production.gatekeeper}/v1/releases/{RELEASE}/approvals"
    grace = {"rlg-acts-for": "idp:grace", "rlg-assurance": "A3"}
    assert httpx2.post(votes, json=vote, headers=ci | grace).status_code == 403
    assert httpx2.post(votes, json=vote, headers=keys["services"]).status_code == 403
    voted = httpx2.post(votes, json=vote, headers=keys["services"] | grace, timeout=30)
    assert voted.status_code == 201, voted.text

    position = voted.json()["approval"]["position"]
    stored = httpx2.get(f"{production.ledger}/v1/ledgers/main/events/{position}", headers=ci).json()
    assert (stored["principal"], stored["via"]) == ("idp:grace", "key:services")
    assert stored["assurance"] == "A3"  # a service with a key of its own vouches for a session

    shown = f"{production.projector}/v1/releases/{RELEASE}"
    until(
        lambda: httpx2.get(shown, headers=ci).status_code == 200, "the release in the read models"
    )
    assert httpx2.get(shown).status_code == 401
    page, secret = f"{production.console}/releases/{RELEASE}", ci["authorization"].split()[1]
    assert httpx2.get(page, headers={"accept": "text/html"}).status_code == 401
    assert "One" in httpx2.get(page, auth=("ci", secret), headers={"accept": "text/html"}).text
    assert httpx2.get(page, auth=("ci", "demo-key")).status_code == 401
