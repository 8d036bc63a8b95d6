"""Starting and stopping the product from the command line: one clear sentence for each fault."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.story.served import ROOT, Process, environment, free_port
from tests.story.teller import KEY, until

pytestmark = pytest.mark.slow


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        env=environment(**env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"RLG_HOST": "::"}, "refused on ::"),
        ({"RLG_PROT": "8080"}, "unknown setting RLG_PROT"),
        ({"RLG_PORT": "high"}, "RLG_PORT is not valid"),
        ({"RLG_FEED": "pigeon"}, "RLG_FEED is not valid"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, env: dict[str, str], says: str) -> None:
    done = run("all", RLG_DATA=str(tmp_path), **env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert says in line


def test_a_taken_port_is_one_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("all", RLG_DATA=str(tmp_path), RLG_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Address already in use" in line
    assert "RLG_PORT" in line
    assert not (tmp_path / "postgres").exists()


def test_the_sample_key_is_refused_outside_development(tmp_path: Path) -> None:
    port = free_port()
    process = Process("all", port, environment(RLG_DATA=str(tmp_path / "data"), RLG_DEV="0",
                                               RLG_FEED="http"), tmp_path / "log")  # fmt: skip
    try:
        process.wait_until_ready("/livez")
        url = f"{process.url}/ledger/v1/ledgers/main/events"
        assert httpx2.get(url, headers=KEY).status_code == 401
        hook = f"{process.url}/ledger/v1/hooks/github"
        assert httpx2.post(hook, content=b"{}").status_code == 404
    finally:
        process.stop()


def servers_of(data: Path) -> list[int]:
    notes = [json.loads(note.read_text()) for note in data.glob("*/run.json")]
    return [int(note["server"][0]) for note in notes if "server" in note]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything_in_order_and_the_next_start_finds_the_data(
    tmp_path: Path, number: signal.Signals
) -> None:
    env = environment(RLG_DATA=str(tmp_path / "data"), RLG_FEED="http")
    process = Process("all", free_port(), env, tmp_path / "log")
    process.wait_until_ready()
    event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "a.b", "subject": "a:1"}
    url = f"{process.url}/ledger/v1/ledgers/main/events"
    assert httpx2.post(url, json=event, headers=KEY).status_code == 201
    servers = servers_of(tmp_path / "data")
    assert servers
    process.signal(number)
    assert process.started.wait(20) == 0
    assert not any(map(alive, servers))
    assert process.log.read_text().splitlines()[-1] == "stopped"

    process.start()
    process.wait_until_ready()
    assert httpx2.post(url, json=event, headers=KEY).status_code == 200
    process.stop()


def test_after_kill_9_no_server_is_left_and_a_second_run_on_the_same_data_is_refused(
    tmp_path: Path,
) -> None:
    env = environment(RLG_DATA=str(tmp_path / "data"), RLG_FEED="http")
    process = Process("all", free_port(), env, tmp_path / "log")
    process.wait_until_ready()
    second = run("all", RLG_DATA=str(tmp_path / "data"), RLG_FEED="http", RLG_PORT="0")
    assert second.returncode == 1
    assert str(process.started.pid) in second.stderr

    servers = servers_of(tmp_path / "data")
    process.kill()
    until(lambda: not any(map(alive, servers)), "the end of the orphans")


@pytest.mark.kafka
def test_without_the_brokers_jars_it_says_so_in_one_line_and_goes_on_without(
    tmp_path: Path,
) -> None:
    env = environment(
        RLG_DATA=str(tmp_path / "data"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        HTTPS_PROXY="http://127.0.0.1:9",
        https_proxy="http://127.0.0.1:9",
    )
    process = Process("all", free_port(), env, tmp_path / "log")
    try:
        process.wait_until_ready()
        said = process.log.read_text()
        assert "Maven Central cannot be reached" in said
        assert "fed by HTTP (no Kafka)" in said
    finally:
        process.stop()


def test_a_key_is_printed_once_and_works(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = run("key", "ci-pay", "--file", str(keys), "--scope", "event:write")
    secret = made.stdout.strip()
    assert secret.startswith("rlg_")
    assert secret not in keys.read_text()
    reader = run("key", "ada", "--file", str(keys), "--scope", "read").stdout.strip()
    wrong = run("key", "ci-pay", "--file", str(keys), "--scope", "root")
    assert wrong.returncode == 1
    assert "unknown scopes: root" in wrong.stderr

    env = environment(RLG_DATA=str(tmp_path / "data"), RLG_DEV="0", RLG_FEED="http",
                      RLG_KEYS_FILE=str(keys))  # fmt: skip
    process = Process("all", free_port(), env, tmp_path / "log")
    try:
        process.wait_until_ready("/livez")
        event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "a.b", "subject": "a:1"}
        url = f"{process.url}/ledger/v1/ledgers/main/events"
        bearer = {"authorization": f"Bearer {secret}"}
        taken = httpx2.post(url, json=event, headers=bearer)
        assert taken.status_code == 201
        assert httpx2.get(url, headers=bearer).status_code == 403
        page = {"accept": "text/html"}
        stranger = httpx2.get(process.url + "/", headers=page)
        assert stranger.status_code == 401
        assert stranger.headers["www-authenticate"].startswith("Basic")
        assert httpx2.get(process.url + "/", auth=("ci", secret), headers=page).status_code == 401
        assert httpx2.get(process.url + "/", auth=("ada", reader), headers=page).status_code == 200
    finally:
        process.stop()
