import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ijson

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_reads_back_and_writes_the_same_bytes(value: ijson.Json) -> None:
    written = ijson.dumps(value)
    assert ijson.loads(written) == value
    assert ijson.dumps(ijson.loads(written)) == written


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers())
)
def test_the_order_of_keys_makes_no_difference(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert ijson.dumps(dict(value)) == ijson.dumps(dict(backwards))


@pytest.mark.parametrize(
    ("raw", "pointer", "says"),
    [
        (b'{"a":1,"a":2}', "", "twice"),
        (b'{"a":NaN}', "", "NaN"),
        (b'{"a":[1,Infinity]}', "", "Infinity"),
        (b'{"a":{"b":9007199254740993}}', "/a/b", "2^53-1"),
        (b'{"a~/b":[0,"\\u0000"]}', "/a~0~1b/1", "NUL"),
        (b'["\\ud800"]', "/0", "surrogate"),
        (b'{"a":1e999}', "/a", "double"),
        (b"[1e400]", "/0", "double"),
        (b"\xff\xfe", "", "UTF-8"),
        (b'{"a":', "", "line 1"),
        (b"", "", "line 1"),
        (b"[" * 40 + b"]" * 40, "/0" * 33, "nested"),
        (b"[" * 100_000, "", "nested"),
        (b"1" * 5000, "", "digits"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(
    raw: bytes, pointer: str, says: str
) -> None:
    with pytest.raises(ijson.NotIJson, match=says.replace("^", r"\^")) as caught:
        ijson.loads(raw)
    assert caught.value.pointer == pointer


def test_text_is_written_as_utf_8_not_escaped() -> None:
    assert ijson.dumps({"b": "ü", "a": "✓"}) == '{"a":"✓","b":"ü"}'.encode()
    assert json.loads(ijson.dumps({"ü": 1})) == {"ü": 1}
