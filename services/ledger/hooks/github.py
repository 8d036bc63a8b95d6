"""The GitHub adapter: which event of GitHub becomes which fact. Pure.

Format: GitHub's webhook payloads, JSON or a form with the member `payload`. What is not in the
table (ping, star, a label…) is kept raw and counted, and can be mapped by a later version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from services.ledger.hooks import github_changes as changes
from services.ledger.hooks import github_deployments as deployments
from services.ledger.hooks import github_reviews as reviews
from services.ledger.hooks.adapter import CannotMap, Fact, Mapped, Scope
from services.ledger.hooks.github_hook import Hook
from services.ledger.hooks.reading import json_object

HANDLERS: Mapping[tuple[str, str], Callable[[Hook], list[Fact]]] = {
    ("push", ""): changes.pushed,
    ("pull_request", "opened"): changes.opened,
    ("pull_request", "reopened"): changes.opened,
    ("pull_request", "closed"): changes.closed,
    ("pull_request_review", "submitted"): changes.reviewed,
    ("pull_request_review", "dismissed"): changes.reviewed,
    ("workflow_run", "requested"): changes.workflow_run,
    ("workflow_run", "in_progress"): changes.workflow_run,
    ("workflow_run", "completed"): changes.workflow_run,
    ("check_run", "created"): changes.check_run,
    ("check_run", "completed"): changes.check_run,
    ("registry_package", "published"): changes.package_published,
    ("package", "published"): changes.package_published,
    ("release", "published"): changes.release_published,
    ("deployment", "created"): deployments.created,
    ("deployment_status", "created"): deployments.status_created,
    ("deployment_review", "requested"): reviews.requested,
    ("deployment_review", "approved"): reviews.decided,
    ("deployment_review", "rejected"): reviews.decided,
}
"""(value of X-GitHub-Event, `action` or "") → how to map it."""

_FORM = "application/x-www-form-urlencoded"


def map_delivery(headers: Mapping[str, str], raw: bytes, scope: Scope) -> Mapped:
    """See `adapter.Adapter`."""
    event = headers.get("x-github-event")
    if not event:
        raise CannotMap("the header X-GitHub-Event is missing")
    payload = json_object(_document(headers, raw))
    handler = HANDLERS.get((event, str(payload.get("action") or "")))
    return Mapped() if handler is None else Mapped(tuple(handler(Hook(payload, scope))))


def _document(headers: Mapping[str, str], raw: bytes) -> bytes:
    if not headers.get("content-type", "").startswith(_FORM):
        return raw
    members = parse_qs(raw.decode("utf-8", errors="replace")).get("payload")
    if not members:
        raise CannotMap("the form has no member `payload`")
    return members[0].encode()
