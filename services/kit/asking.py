"""Whoever asks is known before anything else is looked at; and the API's description says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.kit.identity import HEADER_ACTS_FOR, HEADER_ASSURANCE, Keyring, authenticate

if TYPE_CHECKING:
    from fastapi.params import Depends as Dependency

BEARER = HTTPBearer(auto_error=False, description="An API key; see docs/operations.md")
"""Describes the scheme; `authenticate` alone decides."""
_Key = Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
_Person = Annotated[
    str | None,
    Header(alias=HEADER_ACTS_FOR, description="The person for whom a service acts (`act-as`)."),
]
_Sure = Annotated[
    str | None,
    Header(alias=HEADER_ASSURANCE, description="How sure the service is of them: A0 to A3."),
]


def known(keyring: Keyring) -> Dependency:
    """Return what refuses strangers (401) before a body is validated, for a router."""

    async def check(
        request: Request, _key: _Key, _person: _Person = None, _sure: _Sure = None
    ) -> None:
        authenticate(keyring, request.headers)

    found: Dependency = Depends(check)
    return found
