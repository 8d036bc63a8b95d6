"""Making our topics, and refusing those with which we would lose records."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError

from contracts import topics
from services.kit.kafka.record import REQUEST_MS, answering

_DAY_MS = 24 * 3600 * 1000
_SIZE = {"max.message.bytes": str(1024 * 1024)}  # several times the largest event
SETTINGS: dict[str, dict[str, str]] = {
    # The broker's clock, not the sender's: a wrong clock must not make a record old enough to go.
    topics.INGEST: {"retention.ms": str(7 * _DAY_MS), "message.timestamp.type": "LogAppendTime"}
    | _SIZE,
    # Longer than a holiday, and room for the largest record of the ingest topic with its reason.
    topics.REJECTED: {"retention.ms": str(30 * _DAY_MS), "max.message.bytes": str(2 * 1024 * 1024)},
    # Not for ever: the ledger is the store, every reader refills from it, and an event that was
    # redacted there must not live on in a topic.
    topics.EVENTS: {"retention.ms": str(7 * _DAY_MS)} | _SIZE,
    # For ever: whoever reads it from the beginning sees that the log told one story.
    topics.CHECKPOINTS: {"retention.ms": "-1"} | _SIZE,
}
"""How we make a topic. Retention is the operator's to change; `cleanup.policy` is not."""


class TopicsUnfit(Exception):
    """Topics exist that we cannot work with; the message says which and how to mend them."""


async def ensure_topics(bootstrap: str) -> None:
    """Make the topics that are missing, and raise `TopicsUnfit` when one that exists is not fit.

    One partition and the broker's default replication. Safe to call from several processes at once.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_MS)
    try:
        async with answering(bootstrap):
            await admin.start()
            await _create(admin, set(topics.ALL) - set(await admin.list_topics()))
            found = await _described(admin)
            complaints = _partition_complaints(found) + await _policy_complaints(admin)
    finally:
        await admin.close()
    if complaints:
        raise TopicsUnfit("; ".join(complaints))


async def _create(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    if not names:
        return
    wanted = [
        # -1 is the broker's default; aiokafka lets it pass only beside an (empty) assignment.
        NewTopic(n, 1, -1, {}, {"cleanup.policy": "delete"} | SETTINGS[n])
        for n in sorted(names)
    ]
    answer = await admin.create_topics(wanted)
    for name, code, *message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise TopicsUnfit(f"the topic {name} could not be made: {message or code}")


async def _described(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Return topic → number of partitions, as soon as the broker knows all of them."""
    while True:
        found = await admin.describe_topics(list(topics.ALL))
        known = {t["topic"]: len(t["partitions"]) for t in found if t["partitions"]}
        if set(known) == set(topics.ALL):
            return known
        await asyncio.sleep(0.1)


def _partition_complaints(found: dict[str, int]) -> list[str]:
    count = found[topics.EVENTS]
    if count == 1:
        return []
    return [
        f"{topics.EVENTS} has {count} partitions and needs exactly 1: delete it and start again"
    ]


async def _policy_complaints(admin: AIOKafkaAdminClient) -> list[str]:
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": None})
        for name in topics.ALL
    ]
    found = []
    for answer in await admin.describe_configs(wanted):
        for _, _, _, name, entries in answer.resources:
            found += [(name, entry[1]) for entry in entries if entry[0] == "cleanup.policy"]
    return [
        f"{name} has cleanup.policy={policy}, which loses records: set it to delete"
        for name, policy in found
        if policy != "delete"
    ]
