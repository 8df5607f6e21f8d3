"""The providers: how stored bytes are encrypted. Each value says by its prefix which provider and key wrote it.

    k8s:enc:aescbc:v1:<key>:<iv><ciphertext>
    k8s:enc:aesgcm:v1:<key>:<nonce><ciphertext><tag>
    {"apiVersion": ...                                        identity: as it is

With aesgcm the tag covers the store key too: a value that is moved to another object cannot be read.
"""

import random
from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

ENCRYPTED = b"k8s:enc:"
"""What every encrypted value begins with, and no other."""

BLOCK_BYTES = 16
NONCE_BYTES = 12
KEY_BYTES = (16, 24, 32)


class CannotDecrypt(Exception):
    """The bytes are not what this key wrote."""


class Provider(Protocol):
    """One way to write, with one key. `prefix` is what its values begin with."""

    prefix: bytes

    def encrypt(self, store_key: str, plain: bytes) -> bytes: ...

    def decrypt(self, store_key: str, value: bytes) -> bytes:
        """Of a value with the prefix. Raises CannotDecrypt."""
        ...


class Identity:
    prefix = b""

    def encrypt(self, store_key: str, plain: bytes) -> bytes:
        return plain

    def decrypt(self, store_key: str, value: bytes) -> bytes:
        if value.startswith(ENCRYPTED):
            raise CannotDecrypt
        return value


class AESCBC:
    """Each value has a random initialization vector. It keeps a secret; it does not show that a value was altered."""

    def __init__(self, name: str, secret: bytes, rng: random.Random) -> None:
        self.prefix = b"%baescbc:v1:%b:" % (ENCRYPTED, name.encode())
        self._algorithm = AES(secret)
        self._rng = rng

    def encrypt(self, store_key: str, plain: bytes) -> bytes:
        vector = self._rng.randbytes(BLOCK_BYTES)
        padder = PKCS7(AES.block_size).padder()
        padded = padder.update(plain) + padder.finalize()
        encryptor = Cipher(self._algorithm, CBC(vector)).encryptor()
        return self.prefix + vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, store_key: str, value: bytes) -> bytes:
        start = len(self.prefix)
        vector, encrypted = value[start : start + BLOCK_BYTES], value[start + BLOCK_BYTES :]
        unpadder = PKCS7(AES.block_size).unpadder()
        try:
            decryptor = Cipher(self._algorithm, CBC(vector)).decryptor()
            padded = decryptor.update(encrypted) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise CannotDecrypt from None


class AESGCMProvider:
    """Nonces are random: a key should be rotated long before it has written 2^32 values."""

    def __init__(self, name: str, secret: bytes, rng: random.Random) -> None:
        self.prefix = b"%baesgcm:v1:%b:" % (ENCRYPTED, name.encode())
        self._aead = AESGCM(secret)
        self._rng = rng

    def encrypt(self, store_key: str, plain: bytes) -> bytes:
        nonce = self._rng.randbytes(NONCE_BYTES)
        return self.prefix + nonce + self._aead.encrypt(nonce, plain, store_key.encode())

    def decrypt(self, store_key: str, value: bytes) -> bytes:
        start = len(self.prefix)
        nonce, encrypted = value[start : start + NONCE_BYTES], value[start + NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, encrypted, store_key.encode())
        except (InvalidTag, ValueError):
            raise CannotDecrypt from None


KEYED: dict[str, Callable[[str, bytes, random.Random], Provider]] = {"aescbc": AESCBC, "aesgcm": AESGCMProvider}
"""The providers that have keys, by their names in the configuration."""
