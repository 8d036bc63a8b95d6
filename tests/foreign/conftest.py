"""Packs and their twins, and the toolchains of those who verify them.

Go and ssh-agent are nobody's duty here: without them a test is skipped with one loud line, in CI
too. Where Go is, whatever it cannot fetch or build is a failure. Modules and what is built of them
stay in Go's own caches; sums are pinned in go.sum, and for tools by Go's checksum database.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn, TypeAlias

import pytest

from tests.foreign import log, twins

GO_MODULE = Path(__file__).parent / "go"
Twin: TypeAlias = Callable[[str], twins.Pack]
Install: TypeAlias = Callable[[str], Path]


def absent(what: str) -> NoReturn:
    """Skip with one loud line, under CI=true as well: this toolchain is none of the project's."""
    warnings.filterwarnings("default", message="SKIPPED")
    pytest.skip(f"!!! {what} !!!")


def program(name: str, wanted_by: str) -> str:
    """Return the path of a program that the machine may or may not have."""
    found = shutil.which(name)
    return found or absent(f"{wanted_by} needs {name} on the path")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it is slow: toolchains are fetched, and every log has 70,000 entries."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("slow")
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def packs(work_dir: Path) -> Iterator[Path]:
    """A folder for packs, emptied in the end."""
    folder = work_dir / "packs"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pack(packs: Path) -> twins.Pack:
    """The good pack. Nothing may change it: its twins share its files."""
    keys = log.Keys()
    made = log.record(keys.naming)
    log.write(packs / "good", keys, made)
    return twins.Pack(packs / "good", keys, made)


@pytest.fixture(scope="session")
def twin(pack: twins.Pack, packs: Path) -> Twin:
    """Make a tampered twin of the good pack, once."""
    made: dict[str, twins.Pack] = {}

    def make(name: str) -> twins.Pack:
        if name not in made:
            made[name] = pack.twin(packs / f"twin-{len(made)}")
            twins.TWINS[name](made[name])
        return made[name]

    return make


def _go(*arguments: str, bin_folder: Path, cwd: Path) -> None:
    """Run go. A module may ask for a newer Go than the machine's: Go fetches that itself."""
    go = program("go", "verifying with Go's transparency logs")
    env = {**os.environ, "GOBIN": str(bin_folder), "GOTOOLCHAIN": "auto", "GOFLAGS": ""}
    command = ["nice", go, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=580
    )
    if done.returncode:
        pytest.fail(f"go {' '.join(arguments)}: {done.stderr[-2000:]}")


@pytest.fixture(scope="session")
def go_install(work_dir: Path) -> Install:
    """Install a tool at its version, `path@version`, and return it."""
    folder = work_dir / "go-tools"

    @cache
    def install(tool: str) -> Path:
        _go("install", tool, bin_folder=folder, cwd=work_dir)
        return folder / tool.partition("@")[0].rpartition("/")[2]

    return install


@pytest.fixture(scope="session")
def go_verifiers(work_dir: Path) -> Path:
    """The folder with our small programs around Go's libraries."""
    folder = work_dir / "go-verifiers"
    _go("install", "./sumdb", "./formats", bin_folder=folder, cwd=GO_MODULE)
    return folder
