"""Verifiers that we did not write accept our log, and refuse every twin that they can see through.

`BLIND` is as much asserted as the rest: what a verifier does not look at, it passes, and whoever
uses it alone should know. docs/verify-foreign.md shows it as a table, which a test holds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.foreign.conftest import Install, Twin, absent
from tests.foreign.twins import TWINS, Pack

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "verify-foreign.md"
GOOD, REFUSED, HUNG = 0, 9, 124
PYTHON = {
    "tlog-scales": ("tlog_scales", HERE / "scales.py"),
    "metamorphic-log": ("metamorphic_log", HERE / "metamorphic.py"),
}
FSCK = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4"
FSCK_SECONDS = 10
Verifier: TypeAlias = Callable[[Path], tuple[int, str]]

COSIGNATURES = {"a bit of a cosignature", "a cosignature is missing"}
ENTRIES = {name for name in TWINS if "entr" in name or "bundle" in name}
TILES = {name for name in TWINS if "tile" in name}
PROOFS = {name for name in TWINS if "proof" in name or "leaf" in name}
HISTORY = {"the past rewritten and signed again"}
BLIND: dict[str, set[str]] = {
    "sumdb": COSIGNATURES,
    "formats": set(),
    "tlog-scales": set(),
    "metamorphic-log": COSIGNATURES | ENTRIES | TILES,
    "fsck": COSIGNATURES | PROOFS | HISTORY,
    "sumdb -pack": COSIGNATURES | HISTORY,
    "formats -pack": HISTORY,
    "tlog-scales -pack": HISTORY,
    "metamorphic-log -pack": COSIGNATURES | ENTRIES | TILES | HISTORY,
}


def _run(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def _fsck(program: Path, folder: Path) -> tuple[int, str]:
    """Run Tessera's fsck. It exits 0 when it refuses, and may hang: only its words count."""
    said = _run(
        "timeout", str(FSCK_SECONDS), program, "-N", "4", "-ui=false",
        f"-storage_url=file://{folder}/", f"-public_key={folder}/trust/log.vkey",
    )[1]  # fmt: skip
    good, refused = "Successfully fsck'd" in said, "fsck failed: " in said
    return (GOOD if good else REFUSED if refused else HUNG), said


@pytest.fixture(params=sorted(BLIND))
def verifier(request: pytest.FixtureRequest) -> tuple[str, Verifier]:
    """A verifier's name, and what runs it over a folder."""
    name, *flags = request.param.split()
    if name == "fsck":
        install: Install = request.getfixturevalue("go_install")
        program = install(FSCK)
        return request.param, lambda pack: _fsck(program, pack)
    if name in PYTHON:
        module, script = PYTHON[name]
        if find_spec(module) is None:
            absent(f"{name} has no wheel for this machine")
        return request.param, lambda pack: _run(sys.executable, script, *flags, pack)
    folder: Path = request.getfixturevalue("go_verifiers")
    return request.param, lambda pack: _run(folder / name, *flags, pack)


def test_it_accepts_our_log(verifier: tuple[str, Verifier], pack: Pack) -> None:
    code, said = verifier[1](pack.folder)
    assert code == GOOD, said
    assert "70000" in said


@pytest.mark.parametrize("tampered", TWINS)
def test_it_refuses_a_tampered_twin(
    verifier: tuple[str, Verifier], tampered: str, twin: Twin
) -> None:
    name, verify = verifier
    code, said = verify(twin(tampered).folder)
    assert code == (GOOD if tampered in BLIND[name] else REFUSED), said


def test_what_an_evidence_pack_lacks_must_be_in_a_log(
    verifier: tuple[str, Verifier], pack: Pack, tmp_path: Path
) -> None:
    name, verify = verifier
    bare = pack.twin(tmp_path / "pack").folder
    for lacking in ("older", "consistency"):
        (bare / lacking).unlink()
    code, said = verify(bare)
    assert code == (GOOD if name.endswith(" -pack") or name == "fsck" else REFUSED), said


def test_every_twin_is_seen_through_by_two_families_at_least() -> None:
    whole = [blind for name, blind in BLIND.items() if not name.endswith(" -pack")]
    for tampered in TWINS:
        assert sum(tampered not in blind for blind in whole) >= 2, tampered


def _table() -> str:
    """What each verifier sees, as docs/verify-foreign.md shows it."""
    names = [name for name in BLIND if not name.endswith(" -pack")]
    rows = [["twin", *names], ["---", *("---" for _ in names)]]
    rows += [[twin, *("–" if twin in BLIND[n] else "refused" for n in names)] for twin in TWINS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_documentation_says_who_sees_what() -> None:
    assert _table() in DOCS.read_text(encoding="utf-8")
