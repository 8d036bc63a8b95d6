"""The rules of the house hold: each is proven by breaking it in a copy and seeing it refused."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("contracts", "services", "deploy", "demo", "migrations")
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
}
PLANTS = [
    ("storeys", "services/ledger/model.py", "from services.projector import views"),
    ("storeys", "services/projector/store.py", "import services.gatekeeper.facts"),
    ("storeys", "services/gatekeeper/facts.py", "import services.ledger.model"),
    ("storeys", "services/kit/clock.py", "import services.ledger.settings"),
    ("storeys", "services/projector/views.py", "import services.assembly"),
    ("storeys", "contracts/topics.py", "import services.kit.clock"),
    ("outside", "services/kit/clock.py", "import demo"),
    ("outside", "services/ledger/store.py", "import deploy.embedded"),
    ("outside", "services/gatekeeper/settings.py", "import migrations.run"),
    ("thin-contracts", "contracts/topics.py", "import fastapi"),
    ("thin-contracts", "contracts/payloads/plan.py", "import yaml"),
    ("pure", "services/ledger/model.py", "import asyncio"),
    ("pure", "services/projector/readmodels/rows.py", "import sqlalchemy"),
    ("pure", "services/gatekeeper/judge.py", "import services.kit.logs"),
    ("pure", "services/gatekeeper/facts.py", "import httpx2"),
    ("pure", "services/gatekeeper/rules/words.py", "import fastapi"),
    ("sqlalchemy", "services/ledger/api.py", "import sqlalchemy"),
    ("sqlalchemy", "services/projector/views.py", "from sqlalchemy.ext import asyncio"),
    ("aiokafka", "services/ledger/relay.py", "import aiokafka"),
    ("aiokafka", "demo/people.py", "from aiokafka import AIOKafkaProducer"),
    ("httpx2", "services/gatekeeper/api.py", "import httpx2"),
    ("prometheus", "services/ledger/api.py", "import prometheus_client"),
]


def test_every_contract_has_a_plant() -> None:
    assert {contract for contract, _, _ in PLANTS} == set(CONTRACTS)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("static"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def _lint(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "lint-imports"), *arguments],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def _planted(path: Path, line: str) -> Iterator[None]:
    original = path.read_text(encoding="utf-8")
    path.write_text(f"{original}\n{line}\n", encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def test_the_house_as_it_stands_keeps_all_contracts(copy: Path) -> None:
    result = _lint(copy)
    assert result.returncode == 0, result.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize(("contract", "file", "line"), PLANTS)
def test_a_planted_violation_is_refused(copy: Path, contract: str, file: str, line: str) -> None:
    with _planted(copy / file, line):
        result = _lint(copy, "--contract", contract)
    assert result.returncode == 1, result.stdout
    assert f"{CONTRACTS[contract]} BROKEN" in result.stdout
    assert file.removesuffix(".py").replace("/", ".") in result.stdout


NOW = "from datetime import UTC, datetime\n\nMOMENT = datetime.now(UTC)\n"
TIME = "import time\n\nMOMENT = time.time()\n"
ENVIRON = "import os\n\nHOME = os.environ['HOME']\n"
GETENV = "import os\n\nHOME = os.getenv('HOME')\n"


def _ruff(file: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "ruff"), "check", "--no-cache", "--output-format", "concise"]
    return subprocess.run(
        [*command, "--stdin-filename", file, "-"],
        cwd=ROOT, input=code, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("code", [NOW, TIME, ENVIRON, GETENV])
@pytest.mark.parametrize("file", ["services/ledger/model.py", "contracts/event.py", "demo/work.py"])
def test_a_clock_or_the_environment_outside_of_kit_is_refused(file: str, code: str) -> None:
    result = _ruff(file, code)
    assert result.returncode == 1
    assert "TID251" in result.stdout


@pytest.mark.parametrize(
    ("file", "code"),
    [("services/kit/clock.py", NOW), ("services/kit/settings.py", ENVIRON)],
)
def test_kit_may_read_them(file: str, code: str) -> None:
    assert "TID251" not in _ruff(file, code).stdout
