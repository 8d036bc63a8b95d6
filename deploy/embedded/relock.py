"""Write `jgo.lock.toml` anew after a change of `jgo.toml`: python -m deploy.embedded.relock."""

import tempfile
from pathlib import Path

from jgo.env import EnvironmentSpec, LockFile, compute_spec_hash
from jgo.maven import MavenContext

from deploy.embedded.jars import LOCK_FILE

SPEC_FILE = LOCK_FILE.with_name("jgo.toml")


def relock() -> int:
    """Resolve the coordinates of `jgo.toml`, fetch every jar and write its SHA-256 sum down.

    Return the number of jars.
    """
    spec = EnvironmentSpec.load(SPEC_FILE)
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository), local_repos=[])
        wanted = [context.create_dependency(coordinate) for coordinate in spec.coordinates]
        named, transitive = context.resolver.resolve(wanted)
        needed = [*named, *(found for found in transitive if found.scope in ("compile", "runtime"))]
        lock = LockFile.from_resolved_dependencies(
            sorted(needed, key=lambda found: (found.groupId, found.artifactId)),
            environment_name=spec.name,
            spec_hash=compute_spec_hash(SPEC_FILE),
        )
        lock.save(LOCK_FILE)
    return len(lock.dependencies)


if __name__ == "__main__":
    print(f"{relock()} jars locked in {LOCK_FILE}")  # noqa: T201 - a command line tool
