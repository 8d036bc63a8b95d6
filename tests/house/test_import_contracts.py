"""The rules of the house hold: each is proven by breaking it in a copy and seeing it refused."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # every plant is a run of the linter
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("contracts", "services", "deploy", "demo", "migrations")
_TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
RULES = {contract["id"]: contract for contract in _TOOLS["importlinter"]["contracts"]}
CONTRACTS = {id_: rule["name"] for id_, rule in RULES.items()}
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
    ("pure", "contracts/payloads/earlier.py", "import time"),
    ("pure", "services/ledger/model.py", "import asyncio"),
    ("pure", "services/projector/readmodels/rows.py", "import sqlalchemy"),
    ("pure", "services/gatekeeper/judge.py", "import services.kit.logs"),
    ("pure", "services/gatekeeper/facts.py", "import httpx2"),
    ("pure", "services/gatekeeper/rules/words.py", "import fastapi"),
    ("pure", "services/gatekeeper/policy.py", "from pathlib import Path"),
    ("pure", "services/ledger/hooks/signature.py", "from time import monotonic"),
    ("pure", "services/ledger/bindings.py", "import http.client"),
    ("tlog", "services/kit/tlog/merkle.py", "import time"),
    ("tlog", "services/kit/tlog/note.py", "import contracts.problem"),
    ("sqlalchemy", "services/ledger/api.py", "import sqlalchemy"),
    ("sqlalchemy", "services/projector/views.py", "from sqlalchemy.ext import asyncio"),
    ("sqlalchemy", "services/ledger/relay.py", "from sqlalchemy import text"),
    ("sqlalchemy", "services/projector/runner.py", "from sqlalchemy.exc import DBAPIError"),
    ("aiokafka", "services/ledger/relay.py", "import aiokafka"),
    ("aiokafka", "demo/people.py", "from aiokafka import AIOKafkaProducer"),
    ("aiohttp", "services/gatekeeper/api.py", "import aiohttp"),
    ("httpx2", "services/gatekeeper/api.py", "import httpx2"),
    ("prometheus", "services/ledger/api.py", "import prometheus_client"),
    (
        "one-evaluator",
        "services/gatekeeper/backtesting.py",
        "from services.gatekeeper.applying import Asked",
    ),
    (
        "one-evaluator",
        "services/gatekeeper/testing.py",
        "from services.gatekeeper.rules import approvals",
    ),
    ("cel", "services/gatekeeper/judge.py", "from cel_expr_python import cel"),
    ("protobuf", "services/gatekeeper/cel.py", "from google.protobuf import message"),
    ("pure", "services/gatekeeper/cel.py", "import subprocess"),
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
def _planted(line: str, *paths: Path) -> Iterator[None]:
    originals = {path: path.read_text(encoding="utf-8") for path in paths}
    for path, original in originals.items():
        path.write_text(f"{original}\n{line}\n", encoding="utf-8")
    try:
        yield
    finally:
        for path, original in originals.items():
            path.write_text(original, encoding="utf-8")


def test_the_house_as_it_stands_keeps_all_contracts(copy: Path) -> None:
    result = _lint(copy)
    assert result.returncode == 0, result.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize(("contract", "file", "line"), PLANTS)
def test_a_planted_violation_is_refused(copy: Path, contract: str, file: str, line: str) -> None:
    with _planted(line, copy / file):
        result = _lint(copy, "--contract", contract)
    assert result.returncode == 1, result.stdout
    assert f"{CONTRACTS[contract]} BROKEN" in result.stdout
    assert file.removesuffix(".py").replace("/", ".") in result.stdout


def test_a_pure_module_may_import_nothing_of_what_is_forbidden(copy: Path) -> None:
    forbidden = RULES["pure"]["forbidden_modules"]
    with _planted(
        "\n".join(f"import {name}" for name in forbidden), copy / "services/ledger/model.py"
    ):
        result = _lint(copy, "--contract", "pure")
    refused = set(
        re.findall(r"services\.ledger\.model is not allowed to import (\S+):", result.stdout)
    )
    assert refused == set(forbidden)


def test_every_module_that_is_listed_as_pure_is_held_to_it(copy: Path) -> None:
    modules = RULES["pure"]["source_modules"]
    files = [_file(copy / module.replace(".", "/")) for module in modules]
    with _planted("import random", *files):
        result = _lint(copy, "--contract", "pure")
    refused = set(
        re.findall(r"^-? *(\S+) is not allowed to import random:", result.stdout, re.MULTILINE)
    )
    assert refused == set(modules)


def _file(module: Path) -> Path:
    return module / "__init__.py" if module.is_dir() else module.with_suffix(".py")


def _imports(code: str) -> set[str]:
    """Return the modules that a text imports, by their full names."""
    found = set[str]()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def _beyond_thin(code: str) -> set[str]:
    thin = sys.stdlib_module_names | {"pydantic", "contracts"}
    return {name for name in _imports(code) if name.split(".")[0] not in thin}


def _beyond_parse(code: str) -> set[str]:
    """Return what a text imports of urllib but `urllib.parse`: import-linter sees urllib only."""
    return {
        name for name in _imports(code)
        if name.split(".")[0] == "urllib" and name.split(".")[1:2] != ["parse"]
    }  # fmt: skip


def test_contracts_import_pydantic_and_the_standard_library_only() -> None:
    files = sorted((ROOT / "contracts").rglob("*.py"))
    assert len(files) > 10
    assert {file.name: found for file in files if (found := _beyond_thin(file.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    ["import yaml", "from pydantic_settings import BaseSettings", "from services.kit import clock",
     "if True:\n    import attrs.validators", "def late():\n    from jsonschema import validate"],
)  # fmt: skip
def test_whatever_else_contracts_would_import_is_found(line: str) -> None:
    original = (ROOT / "contracts/topics.py").read_text()
    assert _beyond_thin(original) == set()
    assert len(_beyond_thin(f"{original}\n{line}\n")) == 1


def test_services_and_contracts_use_nothing_of_urllib_but_parse() -> None:
    files = [file for name in ("contracts", "services") for file in (ROOT / name).rglob("*.py")]
    assert {str(file): found for file in files if (found := _beyond_parse(file.read_text()))} == {}
    assert any("urllib.parse.quote" in _imports(file.read_text()) for file in files)


@pytest.mark.parametrize(
    "line",
    ["import urllib", "import urllib.request", "from urllib import request",
     "from urllib.request import urlopen", "from urllib import parse, request"],
)  # fmt: skip
def test_whatever_else_of_urllib_is_found(line: str) -> None:
    assert len(_beyond_parse(line)) == 1


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
