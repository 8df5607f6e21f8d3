"""Tokens that somebody has written down: the token file, and bootstrap tokens for nodes that join.

The file has lines of `token,user,uid,"group1,group2"` and is read once. A bootstrap token is a Secret
`bootstrap-token-<id>` in kube-system and the text `<id>.<secret>`; it is good until the Secret's `expiration`.
"""

import csv
import hmac
import io
import re
from base64 import b64decode
from collections.abc import Sequence

from kaa.lib.clock import Clock, parse_rfc3339
from kaa.lib.jwt import InvalidToken
from kaa.server.authentication.service_accounts import TokenIdentity
from kaa.server.chain import Reader
from kaa.server.request import User

BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
BOOTSTRAP_SECRET_TYPE = "bootstrap.kubernetes.io/token"
BOOTSTRAPPERS = "system:bootstrappers"


class TokenFile:
    """The row for `--token-auth-file`."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a line with too few columns."""
        self._users: dict[str, User] = {}
        for number, columns in enumerate(csv.reader(io.StringIO(text)), 1):
            if not columns or columns[0].startswith("#"):
                continue
            if len(columns) < 3:
                raise ValueError(f"token file line {number}: want token, user name and uid, got {len(columns)} columns")
            token, name, uid, *rest = (column.strip() for column in columns)
            groups = tuple(group.strip() for group in rest[0].split(",") if group.strip()) if rest else ()
            self._users[token] = User(name, groups, uid)

    def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        user = self._users.get(token)
        return None if user is None else TokenIdentity(user, tuple(audiences))


class BootstrapTokens:
    """The row for bootstrap tokens."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        matched = BOOTSTRAP_TOKEN.fullmatch(token)
        if matched is None:
            return None
        token_id, token_secret = matched.groups()
        secret = self._reader.get("Secret", f"bootstrap-token-{token_id}", "kube-system")
        if secret is None or secret.get("type") != BOOTSTRAP_SECRET_TYPE:
            return None
        data = {key: b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
            raise InvalidToken("the bootstrap token's secret is wrong")
        if data.get("usage-bootstrap-authentication") != "true" or self._is_over(data.get("expiration", "")):
            raise InvalidToken("the bootstrap token has expired or is not for authentication")
        extra_groups = [g.strip() for g in data.get("auth-extra-groups", "").split(",") if g.strip()]
        groups = (BOOTSTRAPPERS, *(g for g in extra_groups if g.startswith(f"{BOOTSTRAPPERS}:")))
        return TokenIdentity(User(f"system:bootstrap:{token_id}", groups), tuple(audiences))

    def _is_over(self, expiration: str) -> bool:
        return bool(expiration) and self._clock.now() > parse_rfc3339(expiration)
