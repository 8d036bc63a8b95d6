from datetime import timedelta
from pathlib import Path

import pytest

from contracts.problem import Forbidden, Unauthenticated
from services.kit import clock, identity
from services.kit.identity import HEADER_ACTS_FOR, HEADER_ASSURANCE


def a_key(*scopes: str, days: int = 1) -> tuple[str, identity.Key]:
    return identity.make_key("ci-pay", scopes, days, clock.now())


def bearer(secret: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"} | more


def test_a_key_is_stored_as_a_digest_and_found_by_its_secret(tmp_path: Path) -> None:
    secret, key = a_key("event:write")
    identity.write_key(tmp_path / "keys.json", key)
    assert secret not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    ring = identity.Keyring.read(tmp_path / "keys.json")
    principal = identity.authenticate(ring, bearer(secret))
    assert (principal.id, principal.assurance, principal.via) == ("key:ci-pay", "A2", None)
    principal.require("event:write")
    with pytest.raises(Forbidden):
        principal.require("read")


def test_an_expired_key_and_an_unknown_key_are_refused() -> None:
    secret, key = identity.make_key("old", ["read"], 1, clock.now() - timedelta(days=2))
    for headers in (bearer(secret), bearer("rlg_other"), {}, {"authorization": "Basic x"}):
        with pytest.raises(Unauthenticated):
            identity.authenticate(identity.Keyring([key]), headers)


def test_no_key_lives_longer_than_90_days_and_no_scope_is_invented() -> None:
    with pytest.raises(ValueError, match="90"):
        a_key("read", days=91)
    with pytest.raises(ValueError, match="root"):
        a_key("root")


def test_only_a_key_with_act_as_may_name_a_person_and_vouches_for_a_session_at_most() -> None:
    plain, plain_key = a_key("event:write")
    trusted, trusted_key = a_key("event:write", "act-as")
    ring = identity.Keyring([plain_key, trusted_key])
    person = {HEADER_ACTS_FOR: "oidc:123", HEADER_ASSURANCE: "A4"}
    with pytest.raises(Forbidden):
        identity.authenticate(ring, bearer(plain, **person))
    principal = identity.authenticate(ring, bearer(trusted, **person))
    assert (principal.id, principal.assurance, principal.via) == ("oidc:123", "A3", "key:ci-pay")


def test_what_development_mode_vouches_for_is_a0() -> None:
    ring = identity.Keyring([identity.demo_key()])
    person = {HEADER_ACTS_FOR: "dev:ada", HEADER_ASSURANCE: "A3"}
    assert identity.authenticate(ring, bearer("demo-key", **person)).assurance == "A0"
