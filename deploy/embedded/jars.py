"""Kafka's jars: fetched once from Maven Central in pure Python, checked against the lock file at
every start.
"""

import fcntl
import hashlib
import shutil
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.errors import EmbeddedUnavailable, disk_full, from_os_error, usable_dir

Progress = Callable[[str], None]

LOCK_FILE = Path(__file__).parent.parent / "kafka" / "jgo.lock.toml"
_FETCHERS = 4
_REPORT_EVERY = 8
_NO_SPACE = 28  # errno.ENOSPC


@dataclass(frozen=True)
class Jar:
    """One jar of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The jar's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """Return the jars of the lock file; every one has a SHA-256 sum."""
    entries = tomllib.loads(lock_file.read_text(encoding="utf-8"))["dependencies"]
    return [
        Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])
        for entry in entries
    ]


def ensure_jars(cache_dir: Path, progress: Progress, repository: str | None = None) -> list[Path]:
    """Return the paths of Kafka's jars, fetching those that are missing from the cache.

    A jar gets its name in the cache only after its sum was checked, so a broken download is never
    used, and one that has another sum later was tampered with: it is refused. `repository` is the
    URL of a mirror to ask instead.
    """
    jars = locked_jars()
    cache = usable_dir(cache_dir / "kafka-jars")
    with _one_at_a_time(cache):
        missing = [jar for jar in jars if not (cache / jar.file_name).exists()]
        if missing:
            _fetch_all(missing, cache, progress, repository)
    for jar in jars:
        _refuse_tampered(jar, cache / jar.file_name)
    return [cache / jar.file_name for jar in jars]


def _refuse_tampered(jar: Jar, path: Path) -> None:
    if _sha256(path) != jar.sha256:
        message = (
            f"The cached file {path} has another SHA-256 sum than the lock file: "
            "delete it to fetch it again."
        )
        raise EmbeddedUnavailable(message)


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    # Two runs that start side by side fetch once, and what a killed fetch left can be cleared away
    # safely.
    try:
        lock = (cache / ".lock").open("wb")
    except OSError as error:
        raise from_os_error(error, cache) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_all(missing: list[Jar], cache: Path, progress: Progress, repository: str | None) -> None:
    staging = cache / "incoming"
    shutil.rmtree(staging, ignore_errors=True)
    progress(f"Kafka: fetching {len(missing)} jars from Maven Central into {cache}")
    pool = ThreadPoolExecutor(_FETCHERS)
    try:
        paths = pool.map(lambda jar: _fetch(jar, staging, cache, repository), missing)
        for count, _ in enumerate(paths, start=1):
            if count % _REPORT_EVERY == 0 or count == len(missing):
                progress(f"Kafka: {count}/{len(missing)} jars")
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(staging, ignore_errors=True)


def _fetch(jar: Jar, staging: Path, cache: Path, repository: str | None) -> None:
    arrived = _download(jar, staging, repository)
    if _sha256(arrived) != jar.sha256:
        message = (
            f"{jar.file_name} came from Maven Central with another SHA-256 sum than the lock file; "
            "it is refused."
        )
        raise EmbeddedUnavailable(message)
    arrived.replace(cache / jar.file_name)


def _download(jar: Jar, staging: Path, repository: str | None) -> Path:
    # A development package, absent in the production image.
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    remote = None if repository is None else {"mirror": repository}
    context = MavenContext(repo_cache=staging, local_repos=[], remote_repos=remote, timeout=20)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        return artifact.resolve()
    except OSError as error:  # every network error is one, too
        if error.errno == _NO_SPACE:
            raise disk_full(staging) from error
        message = "Maven Central cannot be reached, and Kafka's jars are not in the cache yet."
        raise EmbeddedUnavailable(message) from error
    except RuntimeError as error:
        message = f"Maven Central did not hand out {jar.file_name}, and it is not in the cache yet."
        raise EmbeddedUnavailable(message) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
