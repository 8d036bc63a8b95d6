import pytest

from services.ledger.hooks.adapter import Scope, identifier, natural_id


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("production", "production"),
        ("eu-prod-1", "production"),
        ("Prod", "production"),
        ("staging", "staging"),
        ("stage", "staging"),
        ("qa2", "testing"),
        ("TST", "testing"),
        ("dev", "development"),
        ("github-pages", "other"),
        ("reproduction", "other"),
        ("latest", "other"),
    ],
)
def test_a_tier_is_guessed_from_the_parts_of_a_name(name: str, tier: str) -> None:
    assert Scope("c").environment(name)["tier"] == tier


def test_the_connections_map_beats_the_name_and_the_name_beats_the_flag() -> None:
    scope = Scope("c", tiers={"prod-mirror": "testing"})
    assert scope.environment("prod-mirror", production=True)["tier"] == "testing"
    assert scope.environment("staging", production=True)["tier"] == "staging"
    assert scope.environment("eu-west", production=True)["tier"] == "production"
    assert scope.environment("eu-west", production=False)["tier"] == "other"


def test_names_with_white_space_become_identifiers() -> None:
    assert identifier(" review/pr 12,\ta ") == "review/pr-12-a"


def test_a_service_is_found_by_any_of_its_names_or_is_the_last_of_them() -> None:
    scope = Scope("c", service_map={"acme/pay": "payments"})
    assert scope.service("acme/pay", "pay") == "payments"
    assert scope.service("acme/cart", "cart") == "cart"


def test_a_natural_key_gives_the_same_id_for_ever() -> None:
    # Known answer: changing it would let every fact that is recorded already in a second time.
    assert natural_id("github", "a/b", 1) == "38ad5fb4-cd7c-52a6-ad76-1244a12ebc9a"
    assert natural_id("github", "a/b", 1) != natural_id("other", "a/b", 1)
    assert natural_id("github", "a", "b1") != natural_id("github", "ab", "1")
