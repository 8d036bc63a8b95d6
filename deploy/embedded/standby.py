"""A standby of an embedded PostgreSQL: follows its primary, and can take its place."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded.errors import EmbeddedUnavailable
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.programs import as_server_user, binary, run

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PROMOTE_SECONDS = 60
_SLOT = """
SELECT pg_create_physical_replication_slot('{name}')
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}')
"""
# Sessions read a new setting between statements only, so this is said several times.
_FOLLOWED = """
DO $$ BEGIN
    FOR tries IN 1..20 LOOP
        EXIT WHEN EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'));
        PERFORM pg_sleep(0.025);
    END LOOP;
END $$
"""


class EmbeddedStandby(EmbeddedPostgres):
    """A server that follows another one over its unix socket, under a name and a slot of its own.

    Promises: supervised like its primary; the primary keeps what the standby still lacks, so it
    catches up after any outage; it answers queries, read-only, until `promote`. It starts also
    while its primary is away. The first start needs the primary, for the base backup.
    """

    def __init__(
        self,
        data_dir: Path,
        primary: EmbeddedPostgres,
        name: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe it; `name` is its application_name and its slot: a-z, 0-9 and _."""
        if not _NAME.fullmatch(name):
            message = f"{name!r} is not a standby's name."
            raise ValueError(message)
        super().__init__(data_dir, settings)
        self.name = name
        self._primary = primary

    async def promote(self) -> None:
        """End the recovery: on return this is a primary. Its former one must not come back."""
        place = ["-D", str(self._cluster), "--wait", f"--timeout={_PROMOTE_SECONDS}"]
        command = [*as_server_user(), str(binary("pg_ctl")), "promote", *place]
        code, errors = await asyncio.to_thread(run, command, self._home)
        if code:
            message = f"The standby {self.name} could not be promoted."
            raise EmbeddedUnavailable(message, tuple(errors.splitlines()))

    def _make(self, draft: Path) -> None:
        self._primary.sql_now(_SLOT.format(name=self.name))
        how = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-password"]
        place = [f"--dbname={self._conninfo()}", f"--slot={self.name}", f"--pgdata={draft}"]
        command = [*as_server_user(), str(binary("pg_basebackup")), *place, *how]
        code, errors = run(command, self._home)
        if code:
            message = f"The base backup of the standby {self.name} failed."
            raise EmbeddedUnavailable(message, tuple(errors.splitlines()[-6:]))

    def _conninfo(self) -> str:
        # The quoting of libpq's keyword/value strings.
        host = re.sub(r"([\\'])", r"\\\1", str(self._primary.socket_dir))
        return f"host='{host}' user=postgres application_name={self.name}"


async def wait_for_standbys(primary: EmbeddedPostgres, names: str) -> None:
    """Make commits on `primary` wait for the standbys, given as for `synchronous_standby_names`.

    Returns when one of them is followed, or after 10 s. With "" nobody is waited for any more.
    Kept by the server over its next starts.
    """
    quoted = names.replace("'", "''")
    setting = f"ALTER SYSTEM SET synchronous_standby_names = '{quoted}'"
    await primary.sql(setting, "SELECT pg_reload_conf()", *([_FOLLOWED] * 20 if names else []))
