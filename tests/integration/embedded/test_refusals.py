"""The embedded servers: whatever keeps one from running is one sentence, nothing forged is used."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.embedded import (
    EmbeddedKafka,
    EmbeddedUnavailable,
    default_cache_dir,
    embedded_kafka,
    kafka_unavailable,
)
from deploy.embedded.errors import usable_dir
from deploy.embedded.jars import ensure_jars, locked_jars

DEAD = "http://127.0.0.1:9"


@pytest.mark.kafka
def test_a_tampered_jar_is_refused(tmp_path: Path, kafka_cache: Path) -> None:
    jars = tmp_path / "kafka-jars"
    jars.mkdir()
    for path in ensure_jars(kafka_cache, print):
        (jars / path.name).symlink_to(path)
    victim = jars / locked_jars()[0].file_name
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content + b"\0")
    assert kafka_unavailable(tmp_path) == (
        f"The cached file {victim} has another SHA-256 sum than the lock file: "
        "delete it to fetch it again."
    )


class _Forger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"forged")

    def log_message(self, *_: object) -> None:
        pass


def test_a_jar_that_arrives_with_another_sum_is_refused_and_not_kept(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Forger) as forger:
        threading.Thread(target=forger.serve_forever).start()
        reason = kafka_unavailable(tmp_path, repository=f"http://127.0.0.1:{forger.server_port}")
        forger.shutdown()
    assert reason is not None
    assert reason.endswith(
        "came from Maven Central with another SHA-256 sum than the lock file; it is refused."
    )
    assert not list(tmp_path.rglob("*.jar"))


async def test_an_unreachable_maven_central_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedUnavailable) as refusal:
        await EmbeddedKafka(tmp_path, repository=DEAD).start()
    assert (
        str(refusal.value)
        == "Maven Central cannot be reached, and Kafka's jars are not in the cache yet."
    )


@pytest.mark.kafka
async def test_a_taken_port_is_one_sentence(tmp_path: Path, kafka_cache: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            EmbeddedUnavailable,
            match=f"^Kafka could not bind the port {port} on 127.0.0.1: [^\n]+$",
        ):
            async with embedded_kafka(tmp_path, kafka_cache, port=port):
                pass


def test_a_bad_directory_and_a_full_disk_are_one_sentence_each(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedUnavailable, match=r"cannot be written: Not a directory\.$"):
        usable_dir(tmp_path / "file" / "below")
    with pytest.raises(EmbeddedUnavailable, match="is full"):
        usable_dir(tmp_path, needed=2**62)


def test_the_lock_is_of_one_kafka_and_complete() -> None:
    jars = locked_jars()
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.3.0"}
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert len({jar.file_name for jar in jars}) == len(jars)


def test_the_cache_has_a_place_without_any_environment() -> None:
    assert default_cache_dir({"HOME": ""}).is_absolute()
    assert default_cache_dir({"HOME": "/h"}) == Path("/h/.cache/release-ledger")
    assert default_cache_dir({"HOME": "/h", "XDG_CACHE_HOME": "/x"}) == Path("/x/release-ledger")
