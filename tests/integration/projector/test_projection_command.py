"""The commands of docs/operations.md, "Rebuild a read model", each in a process of its own.

To import the product takes seconds and is done once: the processes are forked from one that has
done it. tests/faults/test_runbooks.py gives the commands as they are written there.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from services.projector.generations import Generations
from services.projector.store import Store
from tests.integration.ledger.redacting import redacting
from tests.integration.projector.memory import engine_at
from tests.integration.running.served import listening_at

pytestmark = pytest.mark.postgres
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["services.__main__", __name__])


def command(args: list[str], environ: dict[str, str], out: Path) -> None:
    """Be `python -m services …`: its arguments, its whole environment, its output in a file."""
    from services.__main__ import main  # noqa: PLC0415 - the forking process has it

    written = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["services", *args]
    main()


async def test_replay_list_and_back(database_url: str, tmp_path: Path) -> None:
    async with redacting(database_url, tmp_path) as desk, engine_at(database_url) as engine:
        for number in range(1, 8):
            await desk.post(number)
        async with listening_at(desk.service.app) as port:

            async def projection(name: str, key: str = "demo-key") -> tuple[int, str]:
                environ = {
                    "PATH": os.environ["PATH"], "COLUMNS": "200", "DATABASE_URL": database_url,
                    "RLG_LEDGER_URL": f"http://127.0.0.1:{port}", "RLG_SERVICE_KEY": key,
                }  # fmt: skip
                out = tmp_path / "said"
                args = (["projection", name], environ, out)
                process = _forks.Process(target=command, args=args, daemon=True)
                process.start()
                await asyncio.to_thread(process.join, 60)
                assert process.exitcode is not None, "it does not end"
                return process.exitcode, out.read_text()

            assert "generation 1 is live" in (await projection("list"))[1]
            code, said = await projection("back")
            assert (code, "no earlier read models of main" in said) == (1, True), said
            code, said = await projection("replay", key="nobody")
            assert (code, "not known" in said, "Traceback" in said) == (1, True, False), said
            code, said = await projection("replay")
            assert (code, "generation 2 is live: 7 events" in said) == (0, True), said
            assert "as a fold of their own gives them" in said
            assert (await Store(engine).freshness()).position == 7
            assert len((await Store(engine).now(None)).recent) == 7
            assert "generation 1: kept" in (await projection("list"))[1]
            code, said = await projection("back")
            assert (code, "generation 1 is live again" in said) == (0, True), said
            assert (await Generations(engine, "main").live()).number == 1
            assert len((await Store(engine).now(None)).recent) == 7
