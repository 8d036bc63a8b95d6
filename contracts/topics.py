"""Kafka: topic names, headers and keys. Values are UTF-8 JSON, checkpoints signed notes."""

INGEST = "ledger.ingest.v1"
"""In: CloudEvents, structured or binary (CloudEvents Kafka Protocol Binding 1.0)."""
REJECTED = "ledger.ingest.rejected.v1"
"""Out: the records that ingest refused: original bytes, and why in the header `reason`."""
EVENTS = "ledger.events.v1"
"""Out: every recorded event in position order; key = ledger: one ledger, one partition."""
CHECKPOINTS = "ledger.checkpoints.v1"
"""Out: signed checkpoints as text (C2SP signed-note), key = ledger; kept without limit."""

ALL = (INGEST, REJECTED, EVENTS, CHECKPOINTS)

HEADER_LEDGER = "ledger"
HEADER_POSITION = "position"
HEADER_EPOCH = "epoch"
HEADER_COMMITMENT = "commitment"
HEADER_CONTENT_TYPE = "content-type"
HEADER_REASON = "reason"
HEADER_OFFSET = "ingest-offset"
"""Of a rejected record: `partition/offset` in the ingest topic, `topic/partition/offset` in another
one. Rejected twice, it is the same."""
