"""Shared fixtures: a real PostgreSQL and a real Kafka for the whole session, a fresh migrated
database for each test, and the loud skips that CI turns into failures.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

from deploy.embedded import (
    EmbeddedKafka,
    EmbeddedPostgres,
    EmbeddedUnavailable,
    default_cache_dir,
)
from migrations.run import upgrade
from tests.story.served import Shape, all_in_one

CI = os.environ.get("CI") == "true"
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
# No deadline: how long an example takes says more of the machine than of the code.
settings.register_profile("house", settings.get_profile("ci" if CI else "default"), deadline=None)
settings.load_profile("house")
# As the services log: pretty tracebacks print local variables, megabytes of them, for seconds.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def skip_loudly(what: str) -> None:
    """Skip with one loud line; under CI=true what a machine cannot offer is a failure."""
    if CI:
        pytest.fail(f"{what} (a skip is a failure under CI=true)")
    warnings.filterwarnings("default", message="SKIPPED")
    pytest.skip(f"!!! {what} !!!")


@pytest.fixture(scope="session")
def work_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="rlg-test-"))
    path.chmod(0o755)
    yield path
    # A thousand databases are some 300,000 files: nobody waits until they are gone.
    remover = shutil.which("rm") or "/bin/rm"
    os.posix_spawn(remover, [remover, "-rf", str(path)], os.environ, setsid=True)


@pytest.fixture(autouse=True)
def data_of_its_own(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, tiles and the sealer's memory belong to one ledger: no test finds another's."""
    monkeypatch.setenv("RLG_DATA", str(work_dir / "data" / uuid.uuid4().hex))


@pytest.fixture(scope="session")
def postgres(work_dir: Path) -> Iterator[EmbeddedPostgres]:
    """One server for the session."""
    server = EmbeddedPostgres(work_dir / "postgres")
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@pytest.fixture(scope="session")
def template_database(postgres: EmbeddedPostgres) -> str:
    """Migrate once; every test clones the result (file copy, some 50 ms)."""
    name = "template_migrated"
    asyncio.run(postgres.ensure_database(name))
    upgrade(postgres.dsn(name))
    return name


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres, template_database: str) -> str:
    """A fresh migrated database of this test's own: postgresql://…?host=<socket>."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
    finally:
        await admin.close()
    return postgres.dsn(name)


@pytest.fixture(scope="session")
def kafka(work_dir: Path) -> Iterator[str]:
    """One broker for the session: its bootstrap servers. Topics are shared: use fresh ledgers."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    server = EmbeddedKafka(work_dir / "kafka", default_cache_dir(os.environ), print)
    with asyncio.Runner() as runner:
        try:
            runner.run(server.start())
        except EmbeddedUnavailable as reason:
            skip_loudly(f"Kafka tests need a broker: {reason}")
        yield server.bootstrap_servers
        runner.run(server.stop())


@pytest.fixture(scope="session")
def one_process(work_dir: Path) -> Iterator[Shape]:
    """The product as `make run` starts it, without the demo; fed by Kafka where that can be had."""
    made = all_in_one("one process", work_dir / "one-process")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def served(one_process: Shape) -> str:
    """The base URL of the running product."""
    return one_process.console


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        skip_loudly("browser tests need a Chromium on the path (Debian: apt-get install chromium)")
    return str(found)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for the session."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real payloads of real tools, where that folder is present."""
    if not SAMPLES.is_dir():
        pytest.skip("!!! the folder of real payloads is not beside this checkout !!!")
    return SAMPLES


SERVERS = ("postgres", "kafka", "browser")
"""Fixtures whose names are markers too."""
STARTERS = {"EmbeddedPostgres": "postgres", "EmbeddedStandby": "postgres", "EmbeddedKafka": "kafka"}
"""A module that names one of these starts servers of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers that they use, and run those with a browser last.

    Playwright's synchronous API keeps an event loop running in this thread, and no asynchronous
    test can run beside it.
    """
    for item in items:
        used = getattr(item, "fixturenames", ())
        for server in SERVERS:
            if server in used:
                item.add_marker(server)
        for starter, server in STARTERS.items():
            if starter in vars(getattr(item, "module", item)):
                item.add_marker(server)
        if {"one_process", "shape"} & set(used):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
