"""Who asks. Ways of authenticating are rows, tried in order; the first that knows the caller wins.

    front proxy -> client certificate -> bearer token (file, service account, bootstrap) -> anonymous

A row answers None when the request has no credentials of its sort. Wrong credentials of one sort do not spoil right
ones of another, but with nothing right they are a 401, never anonymous.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol

from kaa.api.errors import APIError
from kaa.lib.jwt import InvalidToken
from kaa.server.authentication.credentials import InvalidCredentials
from kaa.server.authentication.service_accounts import TokenIdentity
from kaa.server.request import ANONYMOUS, Request, User

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"

WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."
"""Browsers cannot set headers on a WebSocket: they send the token as a subprotocol of this prefix."""


class RequestRow(Protocol):
    def authenticate(self, request: Request) -> User | None:
        """None: no credentials of this sort. Raises InvalidCredentials."""
        ...


class TokenRow(Protocol):
    def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        """None: not a token of this sort. Raises InvalidToken."""
        ...


class Tokens:
    """The bearer tokens of every sort. TokenReview asks it too."""

    def __init__(self, rows: Sequence[TokenRow]) -> None:
        self._rows = tuple(rows)

    def identify(self, token: str, audiences: Sequence[str]) -> TokenIdentity:
        """Raises InvalidToken."""
        for row in self._rows:
            if (identity := row.authenticate_token(token, audiences)) is not None:
                return TokenIdentity(with_everybody(identity.user), identity.audiences)
        raise InvalidToken("invalid bearer token")


class BearerTokens:
    """The row for `Authorization: Bearer`, and for the subprotocol that stands for it."""

    def __init__(self, tokens: Tokens, audiences: Sequence[str]) -> None:
        self._tokens = tokens
        self._audiences = tuple(audiences)

    def authenticate(self, request: Request) -> User | None:
        token = _bearer_token(request)
        if not token:
            return None
        try:
            return self._tokens.identify(token, self._audiences).user
        except InvalidToken as invalid:
            raise InvalidCredentials(str(invalid)) from None


class Authentication:
    """The union of all rows: the `Authenticator` of the chain."""

    def __init__(self, rows: Sequence[RequestRow]) -> None:
        self._rows = tuple(rows)

    async def authenticate(self, request: Request) -> User | None:
        wrong = False
        for row in self._rows:
            try:
                user = row.authenticate(request)
            except InvalidCredentials:
                wrong = True
                continue
            if user is not None:
                return with_everybody(user)
        if wrong:
            raise APIError("Unauthorized", "Unauthorized")
        return None


def with_everybody(user: User) -> User:
    """With the group that all who proved who they are belong to."""
    if user.name == ANONYMOUS.name or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(WEBSOCKET_BEARER):
            return _decoded(protocol.strip().removeprefix(WEBSOCKET_BEARER))
    return ""


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
