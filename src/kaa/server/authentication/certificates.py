"""Client certificates: the common name is the user, each organization a group.

The TLS layer asks for a certificate but does not judge it (a handshake that fails would leave no Status behind): it is
verified here, against the client authority, for its time and its purpose. The front proxy is the same with another
authority: a certificate of its own says that the `X-Remote-*` headers tell the truth.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaa.lib.clock import Clock
from kaa.server.authentication.credentials import InvalidCredentials, header_values
from kaa.server.authentication.service_accounts import CREDENTIAL_ID
from kaa.server.request import Request, User

KNOWN_CERTIFICATES = 1024
"""Verified certificates that are remembered: verification costs 150 us, and clients come back."""

CLIENT_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


@dataclass(frozen=True, slots=True)
class _Known:
    user: User
    not_before: datetime
    not_after: datetime


class Authority:
    """The authorities that may vouch for clients."""

    def __init__(self, bundle_pem: bytes, clock: Clock) -> None:
        self._authorities = x509.load_pem_x509_certificates(bundle_pem)
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def user_of(self, der: bytes) -> User:
        """Raises InvalidCredentials for a certificate that is not good now."""
        known = self._known.get(der)
        if known is None:
            known = self._verify(der)
            self._known[der] = known
            if len(self._known) > KNOWN_CERTIFICATES:
                self._known.popitem(last=False)
        if not known.not_before <= self._clock.now() <= known.not_after:
            raise InvalidCredentials("x509: certificate has expired or is not yet valid")
        return known.user

    def _verify(self, der: bytes) -> _Known:
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:
            raise InvalidCredentials("x509: malformed certificate") from None
        if not any(_is_issued_by(certificate, authority) for authority in self._authorities):
            raise InvalidCredentials("x509: certificate signed by unknown authority")
        if not _is_for_clients(certificate):
            raise InvalidCredentials("x509: certificate specifies an incompatible key usage")
        return _Known(_user_in(certificate, der), certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_for_clients(certificate: x509.Certificate) -> bool:
    """A certificate that names no purpose at all is good for any."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(purpose in CLIENT_PURPOSES for purpose in purposes)


def _user_in(certificate: x509.Certificate, der: bytes) -> User:
    names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[0]:
        raise InvalidCredentials("x509: certificate has no common name")
    groups = tuple(str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    return User(names[0], groups, "", extra)


class ClientCertificates:
    """The row for clients that come with a certificate."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def authenticate(self, request: Request) -> User | None:
        der = request.client_certificate_der
        return self._authority.user_of(der) if der else None


class FrontProxy:
    """The row for an authenticating proxy, which names its own user in headers."""

    def __init__(self, authority: Authority, allowed_names: Sequence[str]) -> None:
        self._authority = authority
        self._allowed_names = frozenset(allowed_names)

    def authenticate(self, request: Request) -> User | None:
        name = request.headers.get("x-remote-user")
        if not name or not request.client_certificate_der:
            return None
        try:
            proxy = self._authority.user_of(request.client_certificate_der)
        except InvalidCredentials:
            return None  # not the proxy's certificate: the headers mean nothing, the certificate may
        if self._allowed_names and proxy.name not in self._allowed_names:
            return None
        groups = tuple(header_values(request.headers, "x-remote-group"))
        return User(name, groups, request.headers.get("x-remote-uid", ""), _extra(request.headers))


def _extra(headers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    prefix = "x-remote-extra-"
    return {
        unquote(name.removeprefix(prefix)): tuple(header_values(headers, name))
        for name in headers
        if name.startswith(prefix)
    }
