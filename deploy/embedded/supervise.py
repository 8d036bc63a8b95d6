"""Process care shared by the embedded servers: one run a data directory, and never an orphan."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.embedded import guard
from deploy.embedded.errors import EmbeddedUnavailable, from_os_error, usable_dir

_TAIL_LINES = 12
_POLL_SECONDS = 0.03
_GRACE_SECONDS = 1.0


class Supervised:
    """One server of one data directory: claimed, started under a guard, stopped in order.

    Promises: a second live run on the directory is refused; the server ends within the stop plan's
    time after this process ends in whatever way; what a run and its guard left behind, both killed,
    `claim` clears away.
    """

    def __init__(self, home: Path, name: str, plan: guard.StopPlan) -> None:
        """Name the server for people; nothing is touched before `claim`."""
        self.home = home.absolute()
        self.log_path = self.home / "server.log"
        self._name = name
        self._plan = plan
        self._record = self.home / "run.json"
        self._lock: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def server_pid(self) -> int | None:
        """The pid of the server itself, None while it does not run."""
        server = guard.read_record(self._record).get("server")
        return server[0] if server and guard.is_alive(server) else None

    async def claim(self) -> None:
        """Take the data directory for this run and end what a dead run left in it.

        Refuse if a run is alive.
        """
        usable_dir(self.home)
        try:
            self._lock = os.open(self.home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise from_os_error(error, self.home) from error
        try:
            await self._wait_for_lock(self._lock)
            left = guard.read_record(self._record).get("server")
            if left is not None:
                await asyncio.to_thread(guard.end, left, self._plan)
            self._write_owner()
        except BaseException:
            self._release()
            raise

    async def _wait_for_lock(self, lock: int) -> None:
        # A lock whose owner is dead is held by its guard, which is just stopping the server: worth
        # waiting for. An owner that was killed this very moment may still be there for a blink,
        # hence the grace.
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                owner = guard.read_record(self._record).get("owner")
                waited = time.monotonic() - began
                if waited > (_GRACE_SECONDS if guard.is_alive(owner) else self._patience()):
                    raise self._in_use(owner) from None
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    def _in_use(self, owner: tuple[int, str] | None) -> EmbeddedUnavailable:
        who = f"process {owner[0]}" if owner else "another process"
        return EmbeddedUnavailable(
            f"The data directory {self.home} is in use by {who}; stop that run first."
        )

    def _write_owner(self) -> None:
        try:
            guard.write_record(self._record, {"owner": guard.identify(os.getpid())})
        except OSError as error:
            raise from_os_error(error, self.home) from error

    def spawn(self, argv: list[str]) -> None:
        """Start the server under a guard; output goes to a new `server.log`, the old is `.1`."""
        if self._lock is None:
            message = "claim() comes before spawn()"
            raise RuntimeError(message)
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        script = [
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            str(self._record),
            json.dumps(self._plan),
        ]
        with self.log_path.open("wb") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - the servers' own command lines
                [*script, *argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # The directory stays locked until the guard is done, even without us.
                pass_fds=[self._lock],
                start_new_session=True,
                cwd=self.home,
            )

    async def ready(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `is_ready`; raise with the last log lines if the server dies or is late."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self._guard is None or self._guard.poll() is not None:
                raise self.died()
            if time.monotonic() > deadline:
                message = f"{self._name} was not ready within {seconds:.0f} seconds."
                raise EmbeddedUnavailable(message, self.log_tail())
            await asyncio.sleep(_POLL_SECONDS)

    def died(self) -> EmbeddedUnavailable:
        """Return the error for a server that ended by itself."""
        return EmbeddedUnavailable(f"{self._name} died while it started.", self.log_tail())

    def log_text(self) -> str:
        """Return what the server has logged in this run."""
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines of the server's log."""
        return tuple(self.log_text().splitlines()[-_TAIL_LINES:])

    async def halt(self) -> None:
        """Stop the server in order and wait until it is gone; the directory stays claimed."""
        started, self._guard = self._guard, None
        if started is None:
            return
        if started.stdin is not None:
            started.stdin.close()
        try:
            await asyncio.to_thread(started.wait, self._patience())
        except subprocess.TimeoutExpired:
            started.kill()
        # Normally a no-op: only a guard that was killed itself leaves its server for us to end.
        server = guard.read_record(self._record).get("server")
        if server is not None:
            await asyncio.to_thread(guard.end, server, self._plan)

    async def stop(self) -> None:
        """Stop the server in order and let the directory go; calling it twice is harmless."""
        try:
            await self.halt()
        finally:
            self._release()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _patience(self) -> float:
        return sum(seconds for _, seconds in self._plan) + 15.0
