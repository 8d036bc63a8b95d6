"""Real payloads of GitHub and Alertmanager, posted as their senders would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.hooks.desk import Desk, name, open_desk

pytestmark = pytest.mark.postgres
EXPECTED = {
    "check_run.completed": ["pipelinerun.finished.v1"],
    "code_scanning_alert.created": [],
    "deployment": ["deployment.queued.v1"],
    "deployment_review.requested": ["com.github.deployment_review.requested"],
    "deployment_status": ["deployment.finished.v1"],
    "merge_group.checks_requested": [],
    "ping": [],
    "pull_request.closed": [],  # not merged
    "pull_request.opened": ["change.created.v1"],
    "pull_request_review.submitted": ["change.reviewed.v1"],
    "push": [],  # a deleted tag
    "registry_package.published.docker": ["artifact.published.v1"],
    "release.created": [],
    "release.published": ["com.github.release.published"],
    "workflow_run.completed": ["pipelinerun.finished.v1"],
}


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as opened:
        yield opened


async def told(desk: Desk) -> list[str]:
    await desk.map_all()
    assert await desk.quarantine() == []
    return [name(event) for event in await desk.events()]


@pytest.mark.parametrize("sample", sorted(EXPECTED))
async def test_a_real_payload_of_github_becomes_what_it_means(
    desk: Desk, samples: Path, sample: str
) -> None:
    raw = (samples / "github" / f"{sample}.payload.json").read_bytes()
    answer = await desk.github(sample.partition(".")[0], None, raw=raw)
    assert answer.status_code == 202
    assert await told(desk) == EXPECTED[sample]


async def test_every_real_payload_of_github_is_tried(samples: Path) -> None:
    present = {p.name.removesuffix(".payload.json") for p in (samples / "github").glob("*.json")}
    assert present == set(EXPECTED)


async def test_a_real_notification_of_alertmanager_is_understood(desk: Desk, samples: Path) -> None:
    found = sorted((samples / "alertmanager").glob("*.json"))
    assert found
    for sample in found:
        answer = await desk.alertmanager(json.loads(sample.read_bytes()))
        assert answer.status_code == 202
    assert await told(desk) == ["alert.fired.v1"] * len(found)
