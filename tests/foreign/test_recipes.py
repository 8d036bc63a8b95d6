"""The shell recipes accept a pack and refuse its twins, with no programs but those that they name.

They run with a path that holds nothing else, by dash or whatever `sh` is, and by bash.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from contracts.leaf import Named, decode
from services.ledger.sealing.naming import NamingKey, uid
from tests.conftest import skip_loudly
from tests.foreign import log
from tests.foreign.conftest import Twin, program
from tests.foreign.log import SHOWN as POSITIONS
from tests.foreign.twins import SHOWN, Pack, Tamper, flip

RECIPES = Path(__file__).parents[2] / "services" / "ledger" / "evidence"
PROOF, COUNT = "verify-proof.sh", "count-subject.sh"
NAMED = ("openssl", "sha256sum", "xxd", "base64", "awk", "sed", "split", "grep", "find", "xargs")
EVERYWHERE = (
    "basename", "cat", "cmp", "cut", "date", "mkdir", "mktemp", "mv", "rm", "sort", "tail", "tr",
    "wc",
)  # fmt: skip
SMALL, SMALL_OLDER = 700, 300
Recipe: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def bare(work_dir: Path) -> Path:
    """A folder with the programs that the recipes name and no others."""
    folder = work_dir / "bare-path"
    folder.mkdir()
    for name in (*NAMED, *EVERYWHERE):
        found = shutil.which(name)
        if found is None:
            skip_loudly(f"the shell recipes need {name} on the path")
        (folder / name).symlink_to(str(found))
    return folder


def _by(shell: str, bare: Path) -> Recipe:
    shell = program(shell, "running a shell recipe")

    def run(script: str, pack: Path, *arguments: str) -> tuple[int, str]:
        command = [shell, str(RECIPES / script), str(pack), *arguments]
        done = subprocess.run(
            command, env={"PATH": str(bare)}, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert done.stderr == "", done.stderr
        return done.returncode, done.stdout

    return run


@pytest.fixture
def recipe(bare: Path) -> Recipe:
    return _by("sh", bare)


@pytest.fixture(params=["sh", "bash"])
def shells_recipe(request: pytest.FixtureRequest, bare: Path) -> Recipe:
    return _by(request.param, bare)


def _subject(pack: Pack) -> str:
    return f"subjects/{decode(pack.made.leaves[SHOWN - 1]).subjects[0].uid.hex()}"


def _of_subject(end: str, change: Callable[[bytes], bytes]) -> Tamper:
    return lambda pack: pack.alter(f"{_subject(pack)}.{end}", change)


def _of_event(end: str, change: Callable[[bytes], bytes]) -> Tamper:
    return lambda pack: pack.alter(f"events/{SHOWN}.{end}", change)


def _another_event(pack: Pack) -> None:
    for end in ("json", "salt", "leaf", "tlog-proof"):
        content = (pack.folder / f"events/257.{end}").read_bytes()
        pack.alter(f"events/{SHOWN}.{end}", lambda _, content=content: content)  # type: ignore[misc]


def _another_naming_key(pack: Pack) -> None:
    pem = NamingKey.generate().checker.pem()
    pack.alter("trust/naming.pub.pem", lambda _: pem)


def _drop(name: str) -> Tamper:
    return lambda pack: (pack.folder / name).unlink()


SEEN = (
    "a bit of the root",
    "a bit of the log's signature",
    "another key signs",
    "a bit of a cosignature",
    "a cosignature is missing",
    "a bit of a hash of a proof",
    "another index in a proof",
    "a proof too short",
    "a bit of a disclosed leaf",
)
"""Of the twins for verifiers of logs, those that differ in what one event's proof rests on."""
DISCLOSED: dict[str, Tamper] = {
    "a bit of the body": _of_event("json", flip(30)),
    "a bit of the salt": _of_event("salt", flip(3)),
    "the body without its salt": _drop(f"events/{SHOWN}.salt"),
    "the salt without its body": _drop(f"events/{SHOWN}.json"),
    "no leaf": _drop(f"events/{SHOWN}.leaf"),
    "no proof": _drop(f"events/{SHOWN}.tlog-proof"),
    "the files of another event": _another_event,
    "a bit of a subject's signature": _of_subject("sig", flip(9)),
    "another name for a subject": _of_subject("key", lambda _: b"release:pay-9.99"),
    "a newline after a subject's name": _of_subject("key", lambda key: key + b"\n"),
    "a signature without its subject": lambda pack: _drop(f"{_subject(pack)}.key")(pack),
    "another naming key": _another_naming_key,
    "no key of the log": _drop("trust/log.vkey"),
    "no policy": _drop("trust/policy"),
    "no checkpoint": _drop("checkpoint"),
}


@pytest.mark.parametrize("position", POSITIONS)
def test_the_recipe_proves_each_disclosed_event(
    shells_recipe: Recipe, pack: Pack, position: int
) -> None:
    code, said = shells_recipe(PROOF, pack.folder, str(position))
    assert code == 0, said
    leaf = decode(pack.made.leaves[position - 1])
    names = {uid(signature): key for key, signature in pack.made.signatures.items()}
    named = [f"ok: it is version {v} of {names[each]}" for each, v in leaf.subjects]
    assert said.splitlines() == [
        "ok: ledger.example/foreign signed its tree of 70000 entries",
        "ok: witness.example/one saw it continue the tree before, Thu May 28 20:26:40 UTC 2026",
        "ok: witness.example/two saw it continue the tree before, Thu May 28 20:26:40 UTC 2026",
        "ok: that is the quorum of the policy",
        f"ok: the tree holds the leaf of position {position}",
        f"ok: events/{position}.json is what was recorded at position {position}",
        *named,
    ]


@pytest.mark.parametrize("tampered", SEEN)
def test_the_recipe_refuses_a_tampered_log(recipe: Recipe, twin: Twin, tampered: str) -> None:
    code, said = recipe(PROOF, twin(tampered).folder, str(SHOWN))
    assert code == 9, said
    assert said.splitlines()[-1].startswith("REFUSED: ")


@pytest.mark.parametrize("tampered", DISCLOSED)
def test_the_recipe_refuses_a_tampered_disclosure(
    recipe: Recipe, pack: Pack, tmp_path: Path, tampered: str
) -> None:
    other = pack.twin(tmp_path / "twin")
    DISCLOSED[tampered](other)
    code, said = recipe(PROOF, other.folder, str(SHOWN))
    assert code == 9, said
    assert said.splitlines()[-1].startswith("REFUSED: ")


def test_the_recipe_says_what_is_not_disclosed(recipe: Recipe, pack: Pack, tmp_path: Path) -> None:
    other = pack.twin(tmp_path / "twin")
    (other.folder / f"{_subject(pack)}.sig").unlink()
    code, said = recipe(PROOF, other.folder, str(SHOWN))
    assert code == 0
    assert f"--: the subject {_subject(pack).partition('/')[2]} is not disclosed" in said


def test_the_recipe_refuses_a_body_that_is_withheld(
    recipe: Recipe, pack: Pack, tmp_path: Path
) -> None:
    other = pack.twin(tmp_path / "twin")
    for name in (f"events/{SHOWN}.json", f"events/{SHOWN}.salt"):
        (other.folder / name).unlink()
    code, said = recipe(PROOF, other.folder, str(SHOWN))
    assert code == 9
    assert f"REFUSED: the body of position {SHOWN} is not in this pack, and no redaction" in said


POLICIES = {
    "group two any one two\nquorum two": 0,
    "group two 1 one two\nquorum two": 0,
    "group two 2 one two\nquorum two": 9,
    "group two all one two\nquorum two": 9,
    "group inner any one two\ngroup outer all inner one\nquorum outer": 0,
    "group inner any two\ngroup outer all inner one\nquorum outer": 9,
    "quorum one": 0,
    "quorum two": 9,
    "quorum none": 0,
    "": 9,
}
"""With a cosignature of `one` only."""


@pytest.mark.parametrize(("rules", "expected"), POLICIES.items())
def test_the_recipe_counts_a_quorum_as_the_policy_says(
    recipe: Recipe, twin: Twin, tmp_path: Path, rules: str, expected: int
) -> None:
    other = twin("a cosignature is missing").twin(tmp_path / "twin")
    head = "\n".join(other.keys.policy.splitlines()[:3])
    other.alter("trust/policy", lambda _: f"{head}\n{rules}\n".encode())
    assert recipe(PROOF, other.folder)[0] == expected


@pytest.fixture(scope="session")
def small(packs: Path) -> Pack:
    """A pack of 700 entries: a recipe that makes a file of each leaf takes its time."""
    keys = log.Keys()
    made = log.record(keys.naming, SMALL)
    log.write(packs / "small", keys, made, SMALL_OLDER)
    return Pack(packs / "small", keys, made)


def _positions(pack: Pack, subject: str) -> list[int]:
    wanted = uid(pack.made.signatures[subject])
    return [
        position
        for position, entry in enumerate(pack.made.leaves, 1)
        if wanted in {each.uid for each in decode(entry).subjects}
    ]


def test_the_recipe_counts_every_version_of_a_subject(shells_recipe: Recipe, small: Pack) -> None:
    subject = "service:shop-7"
    count = len(_positions(small, subject))
    code, said = shells_recipe(COUNT, small.folder, subject)
    assert code == 0, said
    assert "ok: the 700 entries make the root of the checkpoint" in said
    assert f"ok: {subject} has the versions 1 to {count}, each once, in order" in said
    code, said = shells_recipe(COUNT, small.folder, uid(small.made.signatures[subject]).hex())
    assert code == 0, said


def test_a_pack_that_lacks_one_event_of_a_subject_is_not_whole(
    recipe: Recipe, small: Pack, tmp_path: Path
) -> None:
    subject, whole = "release:pay-1.9", small.twin(tmp_path / "whole")
    positions = _positions(small, subject)
    assert len(positions) > 1
    for position in positions:
        leaf = whole.folder / f"events/{position}.leaf"
        leaf.write_bytes(small.made.leaves[position - 1])
    assert recipe(COUNT, whole.folder, subject, "whole")[0] == 0
    leaf.unlink()
    code, said = recipe(COUNT, whole.folder, subject)
    assert (code, "--: 1 of these events are not in the pack" in said) == (0, True)
    assert recipe(COUNT, whole.folder, subject, "whole")[0] == 9
    leaf.write_bytes(flip(20)(small.made.leaves[positions[-1] - 1]))
    assert recipe(COUNT, whole.folder, subject)[0] == 9


def _bundle(change: Callable[[bytes], bytes]) -> Tamper:
    return lambda pack: pack.alter("tile/entries/001", change)


UNCOUNTABLE: dict[str, Tamper] = {
    "a bit of an entry": _bundle(flip(40)),
    "a bit of a length": _bundle(flip(1)),
    "a bundle cut off": _bundle(lambda content: content[:-1]),
    "a bundle with more": _bundle(lambda content: content + b"\0\1x"),
    "a bundle missing": _drop("tile/entries/001"),
    "the partial bundle missing": _drop("tile/entries/002.p/188"),
    "another size": lambda pack: pack.alter("checkpoint", flip(1 + len(log.ORIGIN), 2)),
    "no such subject": lambda pack: shutil.rmtree(pack.folder / "subjects"),
    "the uid of another subject": lambda pack: pack.alter(
        f"subjects/{uid(pack.made.signatures['service:shop-8']).hex()}.key",
        lambda _: b"service:shop-7",
    ),
}


@pytest.mark.parametrize("tampered", UNCOUNTABLE)
def test_the_recipe_does_not_count_over_altered_entries(
    recipe: Recipe, small: Pack, tmp_path: Path, tampered: str
) -> None:
    other = small.twin(tmp_path / "twin")
    UNCOUNTABLE[tampered](other)
    code, said = recipe(COUNT, other.folder, "service:shop-7")
    assert code == 9, said
    assert said.splitlines()[-1].startswith("REFUSED: ")


@pytest.mark.parametrize("lie", ["an event is left out", "an event is there twice", "a gap"])
def test_a_history_that_the_ledger_itself_falsified_does_not_count_up(
    recipe: Recipe, small: Pack, tmp_path: Path, lie: str
) -> None:
    subject, made = "service:shop-7", log.record(small.keys.naming, SMALL)
    position = _positions(small, subject)[3]
    leaf = decode(made.leaves[position - 1])
    named = [each for each in leaf.subjects if each.uid != uid(made.signatures[subject])]
    if lie == "an event is there twice":
        named.append(Named(uid(made.signatures[subject]), 3))
    told = {"position": position + 1} if lie == "a gap" else {"subjects": tuple(named)}
    made.leaves[position - 1] = replace(leaf, **told).encode()
    log.write(tmp_path / "lying", small.keys, made, SMALL_OLDER)
    assert recipe(PROOF, tmp_path / "lying")[0] == 0, "it is sealed well"
    code, said = recipe(COUNT, tmp_path / "lying", subject)
    assert code == 9, said
    assert "REFUSED: position " in said or "REFUSED: entry " in said
