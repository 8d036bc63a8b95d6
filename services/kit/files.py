"""Files over HTTP, for commands that have no event loop."""

from __future__ import annotations

import threading
import time
from urllib.parse import quote

import httpx2

from contracts import problem

FILE_SECONDS = 30


class Files:
    """Files below a base URL."""

    def __init__(self, base_url: str, key: str = "") -> None:
        self._base_url = base_url
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = self._client()

    def fetch(self, path: str, most: int) -> bytes | None:
        """GET a file of at most `most` bytes; None for 404. Raises a `Problem`.

        What fails on the way, and what the server says to try again, is tried three times; each
        try takes `FILE_SECONDS` at most, however slowly bytes come.
        """
        for pause in (0.2, 1.0, None):
            try:
                return self._in_time(path, most)
            except problem.Unavailable:
                if pause is None:
                    raise
                time.sleep(pause)
        return None

    def _client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self._base_url, timeout=FILE_SECONDS, headers=self._headers)

    def _in_time(self, path: str, most: int) -> bytes | None:
        """Read on a thread that is left to itself when its time is over: headers can drip, too."""
        done: list[bytes | problem.Problem | None] = []
        client = self._http

        def work() -> None:
            try:
                done.append(self._once(client, path, most))
            except problem.Problem as error:
                done.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(FILE_SECONDS)
        if not done:
            self._http = self._client()
            raise problem.Unavailable(f"{path} takes longer than {FILE_SECONDS} s")
        if isinstance(done[0], problem.Problem):
            raise done[0]
        return done[0]

    def _once(self, client: httpx2.Client, path: str, most: int) -> bytes | None:
        content = bytearray()
        try:
            with client.stream("GET", quote(path)) as answer:
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > most:
                        raise problem.TooLarge(f"{path} has more than {most} bytes")
        except httpx2.HTTPError as error:
            detail = f"{self._base_url} does not answer: {type(error).__name__}"
            raise problem.Unavailable(detail) from error
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise problem.Unavailable(f"{path}: HTTP status {answer.status_code}")
        if answer.status_code != httpx2.codes.OK:
            raise problem.Problem(f"{path}: HTTP status {answer.status_code}")
        return bytes(content)
