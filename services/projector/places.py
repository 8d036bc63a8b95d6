"""What the queries answer about deployments and places: see `views`."""

from __future__ import annotations

from typing import Literal

from services.projector.view import View


class DeploymentRow(View):
    """One deployment."""

    deployment_id: str
    release_id: str | None
    service: str
    environment: str
    tier: str
    kind: str
    artifact_digest: str | None
    head_sha: str | None
    state: Literal["queued", "started", "success", "failure", "cancelled", "superseded", "partial"]
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    position: int
    uri: str | None = None
    permit_id: str | None = None
    """The permit that it used up."""
    unauthorised: str | None = None
    """What is wrong with it, where permits are in use; see `readmodels.permits`."""


class Cell(View):
    """What runs in one environment of one service."""

    service: str
    environment: str
    tier: str
    release_id: str | None
    version: str | None
    deployment_id: str
    state: str
    at: str
    unauthorised: str | None = None
    """As in `DeploymentRow`."""


class DeploymentPage(View):
    """Deployments, newest activity first; each service of one is a row of its own."""

    deployments: list[DeploymentRow]
    next_before: int | None
    """Ask for what comes before this position; null at the end."""


class Environments(View):
    """What runs where."""

    services: list[str]
    environments: list[str]
    """In order of tier."""
    cells: list[Cell]
