import base64

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.hooks import signature

SECRETS = ["the old secret", "the new secret"]


def signed(raw: bytes, secret: str) -> dict[str, str]:
    return {"x-hub-signature-256": signature.sign_github(raw, secret)}


def test_the_signature_is_the_one_that_github_documents() -> None:
    # GitHub, "Validating webhook deliveries", the published test vector.
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature.sign_github(b"Hello, World!", "It's a Secret to Everybody") == expected


def test_each_active_secret_is_accepted_while_one_is_rotated() -> None:
    for secret in SECRETS:
        assert signature.github(signed(b"{}", secret), b"{}", SECRETS)
    assert not signature.github(signed(b"{}", "a retired secret"), b"{}", SECRETS)


@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0))
def test_one_changed_bit_of_the_body_breaks_the_signature(raw: bytes, where: int) -> None:
    bit = where % (len(raw) * 8)
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << (bit % 8)
    headers = signed(raw, SECRETS[0])
    assert signature.github(headers, raw, SECRETS)
    assert not signature.github(headers, bytes(changed), SECRETS)


def test_missing_empty_and_odd_headers_prove_nothing() -> None:
    for given_ in ("", "sha256=", "sha1=abc", "Ünïcode", "\udcff"):
        assert not signature.github({"x-hub-signature-256": given_}, b"{}", SECRETS)
        assert not signature.bearer({"authorization": given_}, b"", SECRETS)
    assert not signature.github({}, b"{}", SECRETS)
    assert not signature.bearer({"authorization": "Bearer "}, b"", [""])


def test_bearer_needs_its_scheme() -> None:
    assert signature.bearer({"authorization": "bearer the new secret"}, b"", SECRETS)
    assert not signature.bearer({"authorization": "Token the new secret"}, b"", SECRETS)


def test_basic_authentication_gives_the_secret_as_its_password() -> None:
    pair = base64.b64encode(b"alertmanager:the old secret").decode()
    assert signature.bearer_or_basic({"authorization": f"Basic {pair}"}, b"", SECRETS)
    assert signature.bearer_or_basic({"authorization": "Bearer the old secret"}, b"", SECRETS)
    for broken in ("Basic %%%", "Basic ", f"Basic {base64.b64encode(b'a:b').decode()}"):
        assert not signature.bearer_or_basic({"authorization": broken}, b"", SECRETS)
