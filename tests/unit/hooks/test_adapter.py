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
        ("PRODUCTION", "production"),
        ("euProd2", "production"),
        ("EUProd", "production"),
        ("eu/prd", "production"),
        ("live.eu west", "production"),
        ("pay_live3", "production"),
        ("product-docs", "other"),
        ("ProductDocs", "other"),
        ("prodigy", "other"),
        ("olive", "other"),
        ("liveness", "other"),
        ("non-prod", "other"),
        ("nonprod", "other"),
        ("not_production", "other"),
        ("no prod", "other"),
        ("NonProd1", "other"),
        ("nonlive", "other"),
        ("non-prod-qa", "testing"),
        ("pre-prod", "staging"),
        ("preProd", "staging"),
        ("preprod-eu-2", "staging"),
        ("pre_production", "staging"),
        ("pre-prod-test", "testing"),
        ("non-eu-prod", "production"),
        ("casino-prod", "production"),
        ("", "other"),
    ],
)
def test_a_tier_is_guessed_from_the_parts_of_a_name(name: str, tier: str) -> None:
    assert Scope("c").environment(name)["tier"] == tier


@pytest.mark.parametrize("production", [None, True, False])
def test_the_connections_map_beats_the_name_and_what_the_sender_says(
    *, production: bool | None
) -> None:
    scope = Scope("c", tiers={"prod-mirror": "testing", "non-prod": "production"})
    assert scope.environment("prod-mirror", production=production)["tier"] == "testing"
    assert scope.environment("non-prod", production=production)["tier"] == "production"


@pytest.mark.parametrize("name", ["production", "eu-west", "staging", "non-prod", "qa2"])
def test_who_says_production_means_it_whatever_the_name(name: str) -> None:
    assert Scope("c").environment(name, production=True)["tier"] == "production"


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("production", "production"),
        ("Prod", "production"),
        ("eu-prod-1", "production"),
        ("live", "other"),
        ("eu-prd", "other"),
        ("live-test", "testing"),
        ("non-prod", "other"),
        ("preprod", "staging"),
        ("staging", "staging"),
        ("eu-west", "other"),
    ],
)
def test_who_says_not_production_beats_a_doubtful_name_only(name: str, tier: str) -> None:
    assert Scope("c").environment(name, production=False)["tier"] == tier


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
