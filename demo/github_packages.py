"""A published container image inside GitHub's `registry_package` webhook."""

from __future__ import annotations

from datetime import datetime

from demo.github_objects import WEB, Object, account, stamp
from demo.work import Release


def container(release: Release, at: datetime) -> Object:
    """Return a published container image as `registry_package` has it."""
    repo, seed = release.service.repo, release.seed
    number = seed.number("package", repo.name) % 10**8
    return {
        "id": number,
        "name": repo.name,
        "namespace": "acme",
        "description": repo.description,
        "ecosystem": "CONTAINER",
        "package_type": "CONTAINER",
        "html_url": f"{WEB}/orgs/acme/packages/container/package/{repo.name}",
        "created_at": "2022-02-01T10:12:00Z",
        "updated_at": stamp(at),
        "owner": account(seed, "acme", "Organization"),
        "package_version": _container_version(release, at),
        "registry": {
            "about_url": "https://docs.github.com/packages/learn-github-packages",
            "name": "GitHub CONTAINER registry",
            "type": "CONTAINER",
            "url": "https://ghcr.io/acme",
            "vendor": "GitHub Inc",
        },
    }


def _container_version(release: Release, at: datetime) -> Object:
    repo, number = release.service.repo, release.seed.number("package version", release.id)
    image = f"ghcr.io/acme/{repo.name}"
    return {
        "id": number % 10**9,
        "version": release.digest,
        "name": release.digest,
        "description": repo.description,
        "summary": "",
        "body": {},
        "manifest": "",
        "html_url": f"{WEB}/orgs/acme/packages/container/{repo.name}/{number % 10**9}",
        "target_commitish": "main",
        "target_oid": release.sha,
        "created_at": stamp(at),
        "updated_at": stamp(at),
        "metadata": [],
        "container_metadata": {
            "tag": {"name": release.version, "digest": release.digest},
            "labels": _image_labels(release, at),
            "manifest": _image_manifest(release),
        },
        "package_files": [],
        "installation_command": f"docker pull {image}:{release.version}",
        "package_url": f"{image}:{release.version}",
    }


def _image_labels(release: Release, at: datetime) -> Object:
    repo, prefix = release.service.repo, "org.opencontainers.image"
    labels = {
        "title": repo.name,
        "revision": release.sha,
        "created": stamp(at),
        "version": release.version,
        "source": repo.web,
    }
    return {
        "description": repo.description,
        "source": repo.web,
        "revision": release.sha,
        "image_url": repo.web,
        "licenses": "",
        "all_labels": {f"{prefix}.{name}": value for name, value in labels.items()},
    }


def _image_manifest(release: Release) -> Object:
    repo, seed = release.service.repo, release.seed
    layer = "application/vnd.oci.image.layer.v1.tar+gzip"
    return {
        "digest": release.digest,
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "uri": f"repositories/acme/{repo.name}/manifests/{release.digest}",
        "size": 1369,
        "config": {
            "digest": seed.digest("config", release.id),
            "media_type": "application/vnd.oci.image.config.v1+json",
            "size": 5821,
        },
        "layers": [
            {"digest": seed.digest("layer", release.id, part), "media_type": layer, "size": size}
            for part, size in (("base", 2_808_134), ("binary", 14_920_551))
        ],
    }
