"""The objects inside GitHub's webhooks: users, organisations, repositories, pull requests.

Field lists follow GitHub's documentation of webhook events and payloads (REST API version
2022-11-28); every value is made up. GitHub sends all fields always, so we do too.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo.derive import Seed
from demo.people import Person

API = "https://api.github.com"
WEB = "https://github.com"
ORGANISATION = "acme"
FOUNDED = datetime(2021, 4, 12, 8, 30, tzinfo=UTC)
ZERO_SHA = "0" * 40

Object = dict[str, Any]

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_ORGANISATION_LINKS = {
    "repos_url": "/repos",
    "events_url": "/events",
    "hooks_url": "/hooks",
    "issues_url": "/issues",
    "members_url": "/members{/member}",
    "public_members_url": "/public_members{/member}",
}
_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def stamp(moment: datetime) -> str:
    """Write a moment as GitHub does: seconds, UTC, `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(prefix: str, number: int) -> str:
    """Return a global node id: a prefix for the kind, then the id in URL-safe base64."""
    return f"{prefix}_{base64.urlsafe_b64encode(number.to_bytes(9, 'big')).decode()}"


def links(base: str, paths: dict[str, str]) -> Object:
    """Return the members whose values are URLs under `base`."""
    return {name: base + path for name, path in paths.items()}


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of the organisation."""

    seed: Seed
    name: str
    language: str
    description: str

    @property
    def full_name(self) -> str:
        """`acme/pay`."""
        return f"{ORGANISATION}/{self.name}"

    @property
    def id(self) -> int:
        """GitHub's number."""
        return self.seed.number("repository", self.name) % 10**9

    @property
    def api(self) -> str:
        """The base of its API URLs."""
        return f"{API}/repos/{self.full_name}"

    @property
    def web(self) -> str:
        """The base of its web URLs."""
        return f"{WEB}/{self.full_name}"


def account(seed: Seed, login: str, kind: str = "User") -> Object:
    """Return a user, a bot or an organisation as the owner or actor of something."""
    number = seed.number("account", login) % 10**8
    plain, api = login.removesuffix("[bot]"), f"{API}/users/{login}"
    page = f"{WEB}/apps/{plain}" if kind == "Bot" else f"{WEB}/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id({"Bot": "BOT", "Organization": "O"}.get(kind, "U"), number),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": page,
        **links(api, _USER_LINKS),
        "type": kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def person(seed: Seed, who: Person) -> Object:
    """Return a demo person as GitHub knows them."""
    return account(seed, who.login)


def actions_bot(seed: Seed) -> Object:
    """Return the actor of everything that a workflow does."""
    return account(seed, "github-actions[bot]", "Bot")


def organisation(seed: Seed) -> Object:
    """Return the organisation to which the webhook belongs."""
    number, api = seed.number("account", ORGANISATION) % 10**8, f"{API}/orgs/{ORGANISATION}"
    return {
        "login": ORGANISATION,
        "id": number,
        "node_id": node_id("O", number),
        "url": api,
        **links(api, _ORGANISATION_LINKS),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
        "description": "Payments, web and search for everybody",
    }


def small_repository(repo: Repository) -> Object:
    """Return a repository as it stands inside a workflow run: identity and links only."""
    return {
        "id": repo.id,
        "node_id": node_id("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": True,
        "owner": account(repo.seed, ORGANISATION, "Organization"),
        "html_url": repo.web,
        "description": repo.description,
        "fork": False,
        "url": repo.api,
        **links(repo.api, _REPOSITORY_LINKS),
    }


def repository(repo: Repository, pushed_at: datetime) -> Object:
    """Return a whole repository."""
    return small_repository(repo) | {
        "created_at": stamp(FOUNDED),
        "updated_at": stamp(pushed_at),
        "pushed_at": stamp(pushed_at),
        "git_url": f"git://github.com/{repo.full_name}.git",
        "ssh_url": f"git@github.com:{repo.full_name}.git",
        "clone_url": f"{repo.web}.git",
        "svn_url": repo.web,
        "homepage": None,
        "size": 18422,
        "stargazers_count": 3,
        "watchers_count": 3,
        "language": repo.language,
        **_HABITS,
        "forks_count": 0,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": 4,
        "license": None,
        "forks": 0,
        "open_issues": 4,
        "watchers": 3,
        "default_branch": "main",
    }


_HABITS: Object = {
    "has_issues": True,
    "has_projects": True,
    "has_downloads": True,
    "has_wiki": False,
    "has_pages": False,
    "has_discussions": False,
    "allow_forking": False,
    "is_template": False,
    "web_commit_signoff_required": False,
    "topics": [],
    "visibility": "private",
    "custom_properties": {},
}


def repository_of_push(repo: Repository, pushed_at: datetime) -> Object:
    """Return a repository as `push` has it: epoch seconds, and three members of its own."""
    owner = account(repo.seed, ORGANISATION, "Organization")
    return repository(repo, pushed_at) | {
        "owner": {"name": ORGANISATION, "email": "engineering@acme.example"} | owner,
        "created_at": int(FOUNDED.timestamp()),
        "pushed_at": int(pushed_at.timestamp()),
        "stargazers": 3,
        "master_branch": "main",
        "organization": ORGANISATION,
    }
