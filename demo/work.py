"""The nouns of the story: services, releases, source changes, runs and deployments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from contracts.payloads.deploy import DeploymentKind
from contracts.payloads.model import Environment
from contracts.payloads.plan import ReleaseType
from demo.derive import Seed
from demo.github_objects import Repository
from demo.people import Person

Arc = Literal[
    "normal", "major", "hotfix", "relapse", "stumble", "rejected", "canary", "waiting", "building"
]
"""How a release's life goes. relapse: live, then rolled back · stumble: fails, then succeeds."""
Risk = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its repository and its people."""

    repo: Repository
    owner: Person
    """The product owner: requester of its releases, who may not approve them."""
    developers: tuple[Person, ...]
    parts: tuple[str, ...]
    """What its changes are about."""
    squash: bool
    """Whether its pull requests are squashed or merged with a merge commit."""

    @property
    def name(self) -> str:
        """`pay`."""
        return self.repo.name


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit."""

    sha: str
    message: str
    at: datetime
    author: Person


@dataclass(frozen=True, slots=True)
class Change:
    """One pull request. `merged_at` is None while it is open."""

    repo: Repository
    number: int
    title: str
    branch: str
    ticket: str
    author: Person
    reviewer: Person
    commits: tuple[Commit, ...]
    base: str
    """The tip of `main` when it was merged."""
    merge_sha: str
    opened_at: datetime
    reviewed_at: datetime
    merged_at: datetime | None
    squash: bool

    @property
    def head(self) -> str:
        """The last commit of its branch."""
        return self.commits[-1].sha

    @property
    def ref(self) -> str:
        """`<repo>@<merge sha>`, as candidates name it."""
        return f"{self.repo.full_name}@{self.merge_sha}"

    @property
    def merged_title(self) -> str:
        """The message of the commit on `main`."""
        if self.squash:
            return f"{self.title} (#{self.number})"
        return f"Merge pull request #{self.number} from acme/{self.branch}\n\n{self.title}"


@dataclass(frozen=True, slots=True)
class Release:
    """One release. `at` is when production has it, or would have."""

    seed: Seed
    service: Service
    version: str
    type: ReleaseType
    risk: Risk
    arc: Arc
    ordinal: int
    """Counts the releases of a service from 1."""
    at: datetime
    candidate_at: datetime
    changes: tuple[Change, ...]
    carried: tuple[Change, ...] = ()
    """Changes of releases before it that production does not run."""
    before: Release | None = None
    """The release that production ran before."""
    repairs: Release | None = None
    """The release that it mends, when it is a hotfix."""

    @property
    def id(self) -> str:
        """`pay-2.14.0`."""
        return f"{self.service.name}-{self.version}"

    @property
    def digest(self) -> str:
        """The image that is deployed."""
        return self.seed.digest("image", self.id)

    @property
    def manifest(self) -> str:
        """The digest of the release manifest, to which approvals bind."""
        return self.seed.digest("manifest", self.id)

    @property
    def purl(self) -> str:
        """The image as a package URL (purl specification, type `oci`)."""
        return f"pkg:oci/{self.service.name}@{self.digest}"

    @property
    def sha(self) -> str:
        """The commit that was built."""
        return self.changes[-1].merge_sha

    @property
    def contents(self) -> tuple[Change, ...]:
        """Everything that production would get with it."""
        return self.carried + self.changes

    @property
    def kind(self) -> DeploymentKind:
        """How its deployments are marked."""
        return "hotfix" if self.arc == "hotfix" else "normal"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow."""

    repo: Repository
    workflow: Literal["ci", "release", "deploy"]
    trigger: Literal["pull_request", "push", "workflow_dispatch"]
    number: int
    commit: Commit
    branch: str
    actor: Person
    started_at: datetime
    finished_at: datetime
    conclusion: str = "success"

    @property
    def id(self) -> int:
        """GitHub's number of the run."""
        return self.repo.seed.number("run", self.repo.name, self.workflow, self.number)

    @property
    def suite(self) -> int:
        """GitHub's number of the check suite."""
        return self.repo.seed.number("suite", self.repo.name, self.workflow, self.number)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a release; `planned` is False for rollbacks and repairs."""

    release: Release
    environment: Environment
    attempt: int
    created_at: datetime
    started_at: datetime
    finished_at: datetime
    kind: DeploymentKind = "normal"
    outcome: Literal["success", "failure"] = "success"
    remediates: str | None = None
    what: Release | None = field(default=None)
    """What is deployed when it is not the release itself: a rollback deploys the one before."""

    @property
    def content(self) -> Release:
        """The release whose image and commit are deployed."""
        return self.what or self.release

    @property
    def number(self) -> int:
        """GitHub's number of the deployment."""
        key = (self.release.id, self.environment.id, self.kind, self.attempt)
        return self.release.seed.number("deployment", *key)

    @property
    def id(self) -> str:
        """The id that the ledger's GitHub adapter gives it."""
        return f"github-{self.number}"

    @property
    def intent(self) -> str:
        """Folds the attempts of one intention together."""
        return f"{self.release.id}.{self.environment.id}.{self.kind}"
