"""What crosses a border: the words that the three services and every client share.

`event` the envelope · `subject` what events name · `catalogue` type → payload model ·
`payloads/` one file per phase of a release's life · `decision` the verdict tree ·
`problem` errors (RFC 9457) · `topics` Kafka names · `ijson` the one JSON we read and write.
Reaches pydantic and the standard library only; imports nobody.
"""
