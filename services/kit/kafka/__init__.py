"""Kafka: topics, a producer, a consumer group and a feed. The only importer of aiokafka.

Whatever goes wrong with the broker leaves here as `Unavailable` (or `Undelivered`), so that nobody
else has to know aiokafka's errors.
`record` time limits · `topics` making and checking · `producer` out · `reader` in · `gapless` the
rule of positions · `feed` a ledger's events, each once, in order.
"""

from contracts.record import Record
from services.kit.kafka.feed import KafkaFeed
from services.kit.kafka.gapless import FeedBroken
from services.kit.kafka.producer import Flight, KafkaProducer, Undelivered
from services.kit.kafka.reader import KafkaGroup
from services.kit.kafka.record import EVENTS_PARTITION
from services.kit.kafka.topics import TopicsUnfit, ensure_topics

__all__ = [
    "EVENTS_PARTITION",
    "FeedBroken",
    "Flight",
    "KafkaFeed",
    "KafkaGroup",
    "KafkaProducer",
    "Record",
    "TopicsUnfit",
    "Undelivered",
    "ensure_topics",
]
