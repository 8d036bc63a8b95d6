"""Evidence packs as the ledger makes them, accepted by verifiers that we did not write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.foreign.test_verifiers import GOOD, PYTHON, REFUSED
from tests.foreign.twins import flip
from tests.integration.ledger import conftest, test_pack
from tests.integration.ledger.test_pack import Packed

# The ledger, the sealer's places and the pack are those of the ledger's own tests.
ledger, workshop, packed = conftest.ledger, test_pack.workshop, test_pack.packed

TAMPERED = ("checkpoint", "events/2.leaf", "events/2.tlog-proof", "tile/entries/000", "tile/0/000")


@pytest.fixture(params=["sumdb", "formats", "tlog-scales"])
def verifier(request: pytest.FixtureRequest) -> list[str]:
    """The command that verifies a pack, but for the pack."""
    if request.param in PYTHON:
        return [sys.executable, str(PYTHON[request.param][1]), "-pack"]
    folder: Path = request.getfixturevalue("go_verifiers")
    return [str(folder / request.param), "-pack"]


def _verify(command: list[str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


async def test_a_pack_of_the_ledger_is_accepted_and_its_twins_are_refused(
    packed: Packed, verifier: list[str]
) -> None:
    code, said = _verify(verifier, packed.folder)
    assert code == GOOD, said
    assert "310 entries of ledger.example/main" in said
    for name in TAMPERED:
        file = packed.folder / name
        content = file.read_bytes()
        file.write_bytes(flip(len(content) // 2)(content))
        code, said = _verify(verifier, packed.folder)
        assert code == REFUSED, f"{name}: {said}"
        file.write_bytes(content)
    assert _verify(verifier, packed.folder)[0] == GOOD
