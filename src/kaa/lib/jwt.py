"""JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518 section 3.4): what service accounts carry.

A token is `header.claims.signature`, each part base64url without padding. The key's id in the header is the hash of
the public key, so that a verifier with several keys finds the right one, and OIDC clients find it in the JWKS.
"""

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from kaa.lib.keys import SIGNATURE

COORDINATE_BYTES = 32
"""Of P-256: r, s, x and y are each this long."""

VERIFIED_TOKENS = 4096
"""How many tokens' signatures are remembered as good: 60 us saved on each request with one."""

MAX_TOKEN_BYTES = 64 * 1024


class InvalidToken(Exception):
    """The token is malformed, or no key of ours has signed it."""


class Signer:
    """Signs claims with one private key."""

    def __init__(self, private_key_pem: bytes) -> None:
        key = serialization.load_pem_private_key(private_key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the service account key must be an ECDSA P-256 key")
        self._key = key
        header = {"alg": "ES256", "kid": key_id(key.public_key())}
        self._header = _encode(orjson.dumps(header))

    def sign(self, claims: dict[str, Any]) -> str:
        signed = self._header + b"." + _encode(orjson.dumps(claims))
        r, s = decode_dss_signature(self._key.sign(signed, SIGNATURE))
        signature = r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")
        return (signed + b"." + _encode(signature)).decode()


class Verifier:
    """Checks signatures against any of several public keys. It judges no claim: neither expiry nor audience."""

    def __init__(self, public_keys_pem: Sequence[bytes]) -> None:
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        for pem in public_keys_pem:
            key = serialization.load_pem_public_key(pem)
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise ValueError("a service account key must be an ECDSA P-256 key")
            self._keys[key_id(key)] = key
        self._verified: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def verify(self, token: str) -> dict[str, Any]:
        """The token's claims. Raises InvalidToken."""
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._verified.get(digest)) is not None:
            self._verified.move_to_end(digest)
            return known
        header, claims, signed, signature = _parse(token)
        key = self._keys.get(str(header.get("kid")))
        if header.get("alg") != "ES256" or key is None or len(signature) != 2 * COORDINATE_BYTES:
            raise InvalidToken("no key of this server has signed the token")
        r, s = (int.from_bytes(half, "big") for half in (signature[:COORDINATE_BYTES], signature[COORDINATE_BYTES:]))
        try:
            key.verify(encode_dss_signature(r, s), signed, SIGNATURE)
        except InvalidSignature:
            raise InvalidToken("the token's signature is wrong") from None
        self._verified[digest] = claims
        if len(self._verified) > VERIFIED_TOKENS:
            self._verified.popitem(last=False)
        return claims

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [_json_web_key(kid, key) for kid, key in self._keys.items()]}


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _encode(hashlib.sha256(der).digest()).decode()


def unverified_issuer(token: str) -> str:
    """Who a token says issued it, "" when it is no JWT: which authenticator it is meant for."""
    try:
        return str(_parse(token)[1].get("iss", ""))
    except InvalidToken:
        return ""


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """header, claims, the bytes that are signed, signature."""
    parts = token.encode().split(b".")
    if len(parts) != 3 or len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken("not a JSON Web Token")
    try:
        header, claims, signature = orjson.loads(_decode(parts[0])), orjson.loads(_decode(parts[1])), _decode(parts[2])
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        raise InvalidToken("not a JSON Web Token") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidToken("not a JSON Web Token")
    return header, claims, parts[0] + b"." + parts[1], signature


def _json_web_key(kid: str, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_encode(n.to_bytes(COORDINATE_BYTES, "big")).decode() for n in (numbers.x, numbers.y))
    return {"use": "sig", "kty": "EC", "kid": kid, "crv": "P-256", "alg": "ES256", "x": x, "y": y}


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
