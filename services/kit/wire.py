"""One exchange with a service: over the network, or with an app of this process. Imports aiohttp
and httpx2, each for what it does best: the one takes a fifth of the other's time for a request over
the network, the other one calls an app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import aiohttp
import httpx2
from yarl import URL

from contracts import problem
from services.kit.settings import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

CONNECT_SECONDS = 30
KEEP_SECONDS = 4
"""A connection that rests: less than servers keep theirs, so that none is closed under a call."""
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


class Answer(NamedTuple):
    """What a service has answered."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status says so (2xx)."""
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110 §15.3


class Wire(Protocol):
    """How a service is reached."""

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Send a request and read the whole answer. Raises `Unavailable` when none comes.

        `path` follows the base URL and may end in a query; it is escaped.
        """

    async def close(self) -> None:
        """Close the connections."""


class Network:
    """Services of other processes."""

    def __init__(self, base_url: str, read_seconds: float) -> None:
        """Wait so long for each part of an answer."""
        self._base = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_SECONDS, sock_read=read_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """See `Wire.exchange`."""
        if self._session is None:
            self._session = self._opened()
        try:
            async with self._session.request(
                method, URL(self._base + path), headers=headers, data=body, allow_redirects=False
            ) as answer:
                return Answer(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _silent(self._base, error) from error

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        """Open a session, in the loop that runs. Proxies cost a look at each request."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=KEEP_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trust_env=any(name.lower() in _PROXIES for name in environment()),
        )


class InProcess:
    """A service of this process."""

    def __init__(self, base_url: str, app: ASGIApp) -> None:
        self._base = base_url.rstrip("/")
        self._http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), timeout=None)

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """See `Wire.exchange`."""
        try:
            answer = await self._http.request(
                method, self._base + path, headers=dict(headers), content=body
            )
        except httpx2.HTTPError as error:
            raise _silent(self._base, error) from error
        return Answer(answer.status_code, answer.content)

    async def close(self) -> None:
        """See `Wire.close`."""
        await self._http.aclose()


def _silent(base_url: str, error: Exception) -> problem.Unavailable:
    return problem.Unavailable(f"{base_url} does not answer: {type(error).__name__}")
