"""Tokens in Secrets, as they were before TokenRequest: a Secret of that type, made by hand, gets a token that lasts.

Observed: a Secret of type `kubernetes.io/service-account-token`, and the ServiceAccount that its annotation names.
Wanted: the token, the CA and the namespace in its data, and the account's uid in an annotation. When that very account
does not exist, or no longer, the Secret goes, and with it the token is void.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from kaa.api.objects import (
    Object,
    annotations_of,
    copy_object,
    is_being_deleted,
    name_of,
    namespace_of,
    uid_of,
)
from kaa.controllers.actions import Delete, Update
from kaa.controllers.controller import Actions, Controller, Index, Key, View, Watch, key_of

if TYPE_CHECKING:
    from kaa.lib.jwt import Signer

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
BY_ACCOUNT = "service account"

Sign: TypeAlias = Callable[[dict[str, Any]], str]
"""Makes a token of claims: `lib.jwt.Signer.sign`."""


def controller(sign: Sign, root_ca_pem: str) -> Controller:
    def reconcile(secret: Object, view: View, now: datetime) -> Actions:
        name = annotations_of(secret).get(ACCOUNT_NAME)
        if secret.get("type") != TYPE or not name or is_being_deleted(secret):
            return
        account = view.get("ServiceAccount", name, namespace_of(secret))
        wanted_uid = annotations_of(secret).get(ACCOUNT_UID)
        if account is None or wanted_uid not in (None, "", uid_of(account)):
            yield Delete(secret)
        elif (wanted := filled(secret, account, sign, root_ca_pem)) != secret:
            yield Update(wanted)

    return Controller(
        name="service-account-token",
        kind="Secret",
        watches=(Watch("ServiceAccount", secrets_of),),
        indexes=(Index("Secret", BY_ACCOUNT, accounts_of),),
        field_selectors={"Secret": f"type={TYPE}"},
        reconcile=reconcile,
    )


def filled(secret: Object, account: Object, sign: Sign, root_ca_pem: str) -> Object:
    """A token that is there stays: its holders have it already."""
    wanted = copy_object(secret)
    wanted["metadata"]["annotations"][ACCOUNT_UID] = uid_of(account)
    data = wanted["data"] = wanted.get("data") or {}
    values = {"namespace": namespace_of(secret)} | ({"ca.crt": root_ca_pem} if root_ca_pem else {})
    data |= {key: b64encode(value.encode()).decode() for key, value in values.items()}
    if not b64decode(data.get("token") or ""):
        data["token"] = b64encode(sign(claims_of(secret, account)).encode()).decode()
    return wanted


def claims_of(secret: Object, account: Object) -> dict[str, Any]:
    prefix = "kubernetes.io/serviceaccount"
    return {
        "iss": ISSUER,
        f"{prefix}/namespace": namespace_of(secret),
        f"{prefix}/secret.name": name_of(secret),
        f"{prefix}/service-account.name": name_of(account),
        f"{prefix}/service-account.uid": uid_of(account),
        "sub": f"system:serviceaccount:{namespace_of(account)}:{name_of(account)}",
    }


def accounts_of(secret: Object) -> Iterator[str]:
    if name := annotations_of(secret).get(ACCOUNT_NAME):
        yield f"{namespace_of(secret)}/{name}"


def secrets_of(account: Object, view: View) -> Iterator[Key]:
    for secret in view.by_index("Secret", BY_ACCOUNT, "/".join(key_of(account))):
        yield key_of(secret)


def sign_with(read_key: Callable[[], bytes]) -> Sign:
    """Signs with the PEM key that `read_key` returns, which is read when the first token is made."""
    signers: list[Signer] = []

    def sign(claims: dict[str, Any]) -> str:
        if not signers:
            from kaa.lib.jwt import Signer  # cryptography: most clusters have no such Secret

            signers.append(Signer(read_key()))
        return signers[0].sign(claims)

    return sign
