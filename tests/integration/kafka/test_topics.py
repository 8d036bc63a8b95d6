"""Topics: made once with our settings; an unfit one is refused with a sentence."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts import topics
from contracts.problem import Unavailable
from services.kit.kafka import TopicsUnfit, ensure_topics

pytestmark = pytest.mark.kafka


async def test_made_by_several_at_once_with_our_settings(kafka: str) -> None:
    await asyncio.gather(*(ensure_topics(kafka) for _ in range(3)))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics()}
        assert {name: found.get(name) for name in topics.ALL} == dict.fromkeys(topics.ALL, 1)
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics.ALL]
        [answer] = await admin.describe_configs(wanted)
        for _, _, _, name, entries in answer.resources:
            settings = {entry[0]: entry[1] for entry in entries}
            assert settings["cleanup.policy"] == "delete"
            kept = int(settings["retention.ms"])
            assert kept == -1 or kept >= 7 * 24 * 3600 * 1000, name
            assert (kept == -1) == (name == topics.CHECKPOINTS)
    finally:
        await admin.close()


async def test_unfit_topics_are_refused(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("unfit.ingest", "unfit.rejected", "unfit.events")
    for constant, name in zip(("INGEST", "REJECTED", "EVENTS"), names, strict=True):
        monkeypatch.setattr(topics, constant, name)
    monkeypatch.setattr(topics, "ALL", names)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic("unfit.ingest", 3, 1),
                NewTopic("unfit.rejected", 1, 1, topic_configs={"cleanup.policy": "compact"}),
                NewTopic("unfit.events", 2, 1),
            ]
        )
        with pytest.raises(TopicsUnfit) as refusal:
            await ensure_topics(kafka)
    finally:
        await admin.delete_topics(list(names))
        await admin.close()
    assert str(refusal.value) == (
        "unfit.events has 2 partitions and needs exactly 1: delete it and start again; "
        "unfit.rejected has cleanup.policy=compact, which loses records: set it to delete"
    )


async def test_without_a_broker_it_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9 does not answer"):
        await ensure_topics("127.0.0.1:9")
