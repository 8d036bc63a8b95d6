"""Events that are hard to keep: odd texts, numbers, ids, times, attributes and ages.

`foreign` says that today's catalogue would not take the event as it stands: an older or a newer
one did. `received` is a request in binary mode that has to give the same event.
"""

from __future__ import annotations

import base64
from typing import Any

from contracts.event import OURS
from tests.golden.everyday import COUNTS, IMAGE, PAYLOADS, SCAN

OTHER = "sha256:" + "e5" * 32
TEXTS = {
    "astral": "🚀 𝒜", "composed": "\u00e9", "decomposed": "e\u0301", "right_to_left": "\u202eשלום",
    "separators": "\u2028\u2029\u0085", "bom": "\ufeff", "not_a_character": "\uffff",
    "private": "\ue000\U0010fffd", "quotes": "\"\\/'", "html": "</script><!--&amp;",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f", "trap": '","origin":{"principal":"eve"}}',
    "": "empty key", "Z": 1, "a": 2, "é": 3, "\uffee": 4, "\U00010000": 5,
}  # fmt: skip
NUMBERS = [
    2**53 - 1, -(2**53 - 1), 0, -0.0, 1.0, 0.1, 1e21, 1e16, 1e-7, 5e-324, 1.7976931348623157e308,
    0.30000000000000004, 100, True,
]  # fmt: skip
TRAP = {"aaa": 1, "origin": {"principal": "eve", "assurance": "A4"}, "zzz": ',"origin":{}'}
UUID = "0190c3e4-5f6a-7b8c-9d0e-1f2a3b4c5d6e"


def odd() -> dict[str, dict[str, Any]]:
    """Return name → what is recorded; see `everyday`."""
    return _texts_and_numbers() | _envelopes() | _subjects() | _received() | _ages()


def _texts_and_numbers() -> dict[str, dict[str, Any]]:
    deep: Any = "bottom"
    for level in range(15):
        deep = [{f"k{level}": deep}]
    return {
        "text": _foreign(data=TEXTS),
        "numbers": _foreign(data={"numbers": NUMBERS}),
        "origin-in-data": _foreign(data=TRAP, origin_principal='eve","origin":{"x'),
        "deep": _foreign(data=deep),
        "data-null": _foreign(data=None),
        "data-text": _foreign(data="plain", datacontenttype="text/plain"),
        "data-list": _foreign(data=[[], {}, "", None, False]),
        "data-number": _foreign(data=42),
        "data-missing": _foreign(),
    }


def _envelopes() -> dict[str, dict[str, Any]]:
    extensions = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "causationid": "everyday-release.planned.v1", "empty": "", "yes": True, "no": False,
        "count": 7, "minus": -2147483648, "x": "ü", "a1b2c3d4e5f6g7h8i9j0": "twenty",
    }  # fmt: skip
    return {
        "extensions": _foreign(**extensions, dataschema="https://s.example/1?x=%20#y"),
        "id-uuid": _foreign(id=UUID),
        "id-uuid-upper": _foreign(id=UUID.upper()),
        "id-uuid-version-8": _foreign(id="0190c3e4-5f6a-8b8c-9d0e-1f2a3b4c5d6e"),
        "id-words": _foreign(id="build #7 – größer 🚀"),
        "id-longest": _foreign(id="i" * 512, source="urn:" + "s" * 508),
        "time-offset": _foreign(time="2026-03-01T23:30:00.5+05:45"),
        "time-nanoseconds": _foreign(time="2026-03-01t23:30:00.123456789z"),
        "time-missing": _foreign(time=None),
        "anonymous": _foreign(origin_principal="anonymous", origin_assurance="A0"),
        "translated": _foreign(
            origin_connection="github", origin_raw_sha256="f" * 64, origin_assurance="A1"
        ),
    }


def _subjects() -> dict[str, dict[str, Any]]:
    many = [f"part:{number}-é" for number in range(63)]
    artifacts = [f"sha256:{number:064x}" for number in range(20)]
    candidate = PAYLOADS["release.candidate_created.v1"] | {"artifacts": artifacts}
    changes = [f"acme/p{number}@{number:040x}" for number in range(20)]
    return {
        "subjects-64": _foreign(subjects=",".join(many)),
        "subjects-spaced": _foreign(subjects=" release:pay-1.42, service:pay,,release:pay-1.42 "),
        "subjects-of-ours": {
            "event": _ours("ticket.created.v1", PAYLOADS["ticket.created.v1"])["event"]
            | {"subject": "service:pay", "subjects": "not:taken"}
        },
        "subjects-longest": _foreign(subject="k:" + "x" * 510),
        "subjects-42-of-ours": _ours(
            "release.candidate_created.v1",
            candidate | {"release_id": "many-1", "change_ids": changes},
        ),
    }


def _received() -> dict[str, dict[str, Any]]:
    raw = bytes(range(256))
    headers = {
        "ce-specversion": "1.0", "ce-id": "binary-1", "ce-source": "/golden", "ce-type": "t.binary",
        "ce-subject": "part:binary", "ce-name": "gr%C3%B6%C3%9Fer", "ce-said": '"a \\"b\\""',
    }  # fmt: skip
    attributes = {
        "specversion": "1.0", "id": "binary-1", "source": "/golden", "type": "t.binary",
        "subject": "part:binary", "name": "größer", "said": 'a "b"',
    }  # fmt: skip
    encoded = base64.b64encode(raw).decode()
    plain, json = "application/octet-stream", "application/json; charset=utf-8"
    text = '{"b":1.50,"a":"\\u00e9"}'
    return {
        "binary-mode": {
            "event": attributes | {"datacontenttype": plain, "data_base64": encoded},
            "received": {"headers": headers | {"content-type": plain}, "body_base64": encoded},
        },
        "binary-mode-json": {
            "event": attributes
            | {"id": "binary-2", "datacontenttype": json, "data": {"a": "é", "b": 1.5}},
            "received": {
                "headers": headers | {"ce-id": "binary-2", "content-type": json},
                "body_base64": base64.b64encode(text.encode()).decode(),
            },
        },
    }


def _ages() -> dict[str, dict[str, Any]]:
    bare = {name: SCAN[name] for name in ("scanner", "db_version")} | {"digest": OTHER}
    zero = {"critical": 0, "high": 0}
    planned = PAYLOADS["release.planned.v1"] | {"release_id": "new-1", "colour": {"r": 1}}
    more = SCAN | {"counts": COUNTS | {"negligible": 9}, "mode": "fast"}
    decision = PAYLOADS["decision.recorded.v1"]
    told = decision["decision"] | {"release": "new-1", "later": ["?"]}
    return {
        "scan-v1-bare": _ours("artifact.scanned.v1", bare | {"counts": zero}),
        "scan-v1-whole": _ours(
            "artifact.scanned.v1",
            bare | {"counts": zero | {"medium": 0, "low": 1, "unknown": 2}, "report_uri": None},
        ),
        "scan-v1-unknown-fields": _other_catalogue(
            "artifact.scanned.v1", bare | {"counts": zero | {"negligible": 3}, "mode": ["x"]}
        ),
        "scan-v2-unknown-fields": _other_catalogue("artifact.scanned.v2", more),
        "planned-unknown-fields": _other_catalogue("release.planned.v1", planned),
        "decision-unknown-fields": _other_catalogue(
            "decision.recorded.v1",
            {"decision_id": "dec-2", "release_id": "new-1", "decision": told},
        ),
        "scan-v1-not-its-model": _other_catalogue("artifact.scanned.v1", {"digest": IMAGE}),
        "scan-of-a-later-catalogue": _other_catalogue("artifact.scanned.v99", {"digest": IMAGE}),
        "type-of-a-later-catalogue": _other_catalogue("comet.seen.v1", {"tail": True}),
    }


def _foreign(**attributes: Any) -> dict[str, Any]:
    origin = {
        name.removeprefix("origin_"): attributes.pop(name)
        for name in list(attributes)
        if name.startswith("origin_")
    }
    usual = {"source": "/golden", "subject": "part:1", "time": "2026-03-02T10:00:00Z"}
    event = {"specversion": "1.0", "type": "com.example.odd", **usual, **attributes}
    kept = {name: value for name, value in event.items() if value is not None or name == "data"}
    return {"event": kept, "origin": {"principal": "key:odd", "assurance": "A2"} | origin}


def _ours(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    event = {"specversion": "1.0", "source": "/golden", "type": OURS + type_, "data": data}
    return {"event": event}


def _other_catalogue(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    sample = _ours(type_, data)
    sample["event"]["subject"] = "part:ages"
    return sample | {"foreign": True}
