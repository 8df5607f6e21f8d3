"""The EncryptionConfiguration file and its providers."""

import base64
import random

import pytest

from kaa.server.encryption.configuration import BadConfiguration, parse_configuration
from kaa.server.encryption.providers import KEYED, CannotDecrypt, Identity

RNG = random.Random(1)
KEY = base64.b64encode(b"k" * 32).decode()
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
STORE_KEY = "/registry/core/secrets/a/b"


def parse(resources: str):
    return parse_configuration(f"{HEAD}resources: {resources}", RNG)


@pytest.mark.parametrize("provider", [kind("one", b"k" * 32, RNG) for kind in KEYED.values()])
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 5000])
def test_what_was_encrypted_can_be_read(provider, length: int) -> None:
    """Any length, and never the same bytes twice; upstream's prefixes name provider and key."""
    plain = b"x" * length
    value = provider.encrypt(STORE_KEY, plain)
    assert value != provider.encrypt(STORE_KEY, plain)
    assert value.startswith((b"k8s:enc:aescbc:v1:one:", b"k8s:enc:aesgcm:v1:one:"))
    assert provider.decrypt(STORE_KEY, value) == plain


def test_what_was_altered_or_moved_is_not_read() -> None:
    """aesgcm shows every change, and that a value stands where it was not written."""
    provider = KEYED["aesgcm"]("one", b"k" * 16, RNG)
    value = provider.encrypt(STORE_KEY, b"secret")
    for key, bad in [
        (STORE_KEY, value[:-1] + b"?"),
        (STORE_KEY, provider.prefix),
        ("/registry/core/secrets/a/c", value),
    ]:
        with pytest.raises(CannotDecrypt):
            provider.decrypt(key, bad)


def test_identity_does_not_take_ciphertext_for_an_object() -> None:
    """With the key gone from the file, a secret must not be served as bytes that nobody can parse."""
    with pytest.raises(CannotDecrypt):
        Identity().decrypt(STORE_KEY, b"k8s:enc:aescbc:v1:old:xyz")


@pytest.mark.parametrize(
    ("group", "plural", "providers"),
    [
        ("", "secrets", 2),
        ("", "configmaps", 1),
        ("apps", "deployments", 3),
        ("apps", "secrets", 3),
        ("batch", "jobs", 0),
        ("awesome.example", "pandas", 1),
    ],
)
def test_a_resource_has_the_providers_of_the_first_entry_that_names_it(group, plural, providers) -> None:
    """By plural and group, with upstream's wildcards; what is not named is stored as it is."""
    gcm = f"aesgcm: {{keys: [{{name: a, secret: {KEY}}}]}}"
    cbc = f"aescbc: {{keys: [{{name: a, secret: {KEY}}}, {{name: b, secret: {KEY}}}]}}"
    configuration = parse(
        f"[{{resources: [secrets], providers: [{{{gcm}}}, {{identity: {{}}}}]}}, "
        f"{{resources: ['*.', pandas.awesome.example], providers: [{{{gcm}}}]}}, "
        f"{{resources: ['*.apps'], providers: [{{{cbc}}}, {{identity: {{}}}}]}}]"
    )
    assert len(configuration.providers(group, plural)) == providers


@pytest.mark.parametrize(
    ("resources", "fault"),
    [
        ("[]", "resources: Required value"),
        ("[{resources: [], providers: [{identity: {}}]}]", "resources[0].resources: Required value"),
        ("[{resources: [secrets]}]", "resources[0].providers: Required value"),
        ("[{resources: ['*'], providers: [{identity: {}}]}]", 'Invalid value: "*"'),
        ("[{resources: [secrets], providers: [{aescbc: {}}]}]", "providers[0].aescbc.keys: Required value"),
        ("[{resources: [secrets], providers: [{rot13: {}}]}]", "providers[0].rot13: Unsupported value"),
        ("[{resources: [secrets], providers: [{secretbox: {keys: []}}]}]", "XSalsa20"),
        ("[{resources: [secrets], providers: [{kms: {}}]}]", "external key services are not supported"),
        ("[{resources: [secrets], providers: [{identity: {}, kms: {}}]}]", "exactly one provider"),
        ("[{resources: [secrets], providers: [{aescbc: {keys: [{name: a, secret: '?'}]}}]}]", "secret is not base64"),
        (
            "[{resources: [secrets], providers: [{aesgcm: {keys: [{name: a, secret: YQ==}]}}]}]",
            "got 1, expected one of",
        ),
        ("[{resources: [secrets], providers: [{aesgcm: {keys: [{name: 'a:b', secret: YQ==}]}}]}]", "without colons"),
    ],
)
def test_a_bad_file_says_where(resources: str, fault: str) -> None:
    """A server that thinks it encrypts and does not is worse than one that does not start."""
    with pytest.raises(BadConfiguration) as raised:
        parse(resources)
    assert fault in str(raised.value)


def test_no_key_is_shown_by_an_error() -> None:
    """Errors go to logs."""
    with pytest.raises(BadConfiguration) as raised:
        parse_configuration(f"{HEAD}resources: [{{secret: {KEY}", RNG)
    assert KEY not in str(raised.value)
