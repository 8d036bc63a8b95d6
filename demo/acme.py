"""The organisation: its three services, and what people change in them."""

from __future__ import annotations

from demo.derive import Seed
from demo.github_objects import Repository
from demo.people import ADA, ALAN, HEDY, JOAN, TIM
from demo.work import Arc, Service

ACTIONS = (
    "Retry {} when the peer times out",
    "Add metrics to {}",
    "Validate the input of {}",
    "Make {} faster for large accounts",
    "Remove the old path of {}",
    "Log the outcome of {}",
    "Translate the errors of {}",
    "Limit the rate of {}",
)
REPAIRS = "Restore the time limit of {}"

_PAY = ("card capture", "refunds", "the payout export", "invoice numbers", "wallet top-ups",
        "the dispute form", "currency rounding", "the settlement job")  # fmt: skip
_WEB = ("the basket", "the product page", "the address form", "sign-in", "the order history",
        "image loading", "the voucher field", "the consent banner")  # fmt: skip
_SEARCH = ("suggestions", "the synonym list", "index rebuilds", "facet counts", "spelling repair",
           "the ranking model", "empty results", "the query cache")  # fmt: skip

LIVES: dict[str, tuple[Arc, ...]] = {
    "pay": ("normal", "normal", "normal", "normal", "major", "normal", "normal", "normal",
            "normal", "stumble", "normal", "normal", "normal", "waiting"),
    "web": ("normal", "normal", "normal", "canary", "normal", "normal", "relapse", "hotfix",
            "normal", "normal", "normal", "normal", "normal", "building"),
    "search": ("normal", "normal", "normal", "normal", "canary", "normal", "rejected", "normal",
               "normal", "normal", "normal", "normal", "normal"),
}  # fmt: skip
"""How the releases of each service go, oldest first."""

FIRST_VERSION = {"pay": (2, 8, 0), "web": (5, 3, 0), "search": (1, 11, 0)}


def services(seed: Seed) -> tuple[Service, ...]:
    """Return the three services."""
    pay = Repository(seed, "pay", "Go", "Takes, refunds and settles payments")
    web = Repository(seed, "web", "TypeScript", "The shop that customers see")
    search = Repository(seed, "search", "Rust", "Finds products")
    return (
        Service(pay, TIM, (ADA, ADA, HEDY), _PAY, squash=False),
        Service(web, JOAN, (ALAN, ALAN, ADA), _WEB, squash=True),
        Service(search, JOAN, (HEDY, HEDY, ALAN), _SEARCH, squash=False),
    )
