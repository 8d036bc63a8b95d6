"""The one exception of the embedded servers, and the checks that raise it before a start."""

import errno
import os
import shutil
from pathlib import Path

NEEDED_BYTES = 1_000_000_000


class EmbeddedUnavailable(Exception):
    """An embedded server cannot run here; `sentence` tells a person why, in one sentence.

    A state of the machine, not a fault in the program.
    """

    def __init__(self, sentence: str, log_tail: tuple[str, ...] = ()) -> None:
        """Keep the sentence, and the last log lines of a server that died."""
        super().__init__(sentence)
        self.sentence = sentence
        self.log_tail = log_tail

    def __str__(self) -> str:
        """Return the sentence, with the last log lines below it if there are any."""
        return "\n  | ".join((self.sentence, *self.log_tail))


def disk_full(path: Path) -> EmbeddedUnavailable:
    """Return the refusal for a disk without room."""
    return EmbeddedUnavailable(
        f"The disk that holds {path} is full: the embedded servers need 1 GB free there."
    )


def from_os_error(error: OSError, path: Path) -> EmbeddedUnavailable:
    """Return the refusal for an operating-system error met while writing below `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path)
    reason = error.strerror or type(error).__name__
    return EmbeddedUnavailable(f"The directory {path} cannot be written: {reason}.")


def usable_dir(path: Path, needed: int = NEEDED_BYTES) -> Path:
    """Return `path`, absolute: a writable directory with `needed` bytes free. Or refuse."""
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise from_os_error(error, path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        message = f"The directory {path} cannot be written: permission denied."
        raise EmbeddedUnavailable(message)
    if free < needed:
        raise disk_full(path)
    return path
