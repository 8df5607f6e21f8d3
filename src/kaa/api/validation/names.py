"""What names may look like. Each function returns what is wrong, in upstream's words; nothing when nothing is.

Source: RFC 1123 for DNS names; apimachinery's util/validation for the sentences.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable

from kaa.api.labels import label_key_problems, label_value_problems

Problems = Callable[[str], Iterable[str]]

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253
PORT_NAME_LENGTH = 15

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_1035_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_PART}[\./])*{_SYSCTL_PART}"

qualified_name: Problems = label_key_problems
label_value: Problems = label_value_problems


NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
LEADING_ZEROS = "must not have leading 0s"
NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def must_match(sentence: str, pattern: str, *examples: str) -> str:
    listed = " or ".join(f"'{example}', " for example in examples)
    shown = f"e.g. {listed}" if examples else ""
    return f"{sentence} ({shown}regex used for validation is '{pattern}')"


def at_most(length: int) -> str:
    return f"must be no more than {length} characters"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


_label, _subdomain = re.compile(_LABEL), re.compile(_SUBDOMAIN)
_1035_label = re.compile(_1035_LABEL)
_wildcard, _config_key, _percent = re.compile(_WILDCARD), re.compile(_CONFIG_KEY), re.compile(_PERCENT)
_header, _sysctl = re.compile(_HEADER), re.compile(_SYSCTL)

NOT_A_LABEL = must_match(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
NOT_A_1035_LABEL = must_match(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _1035_LABEL,
    "my-name",
    "abc-123",
)
NOT_A_SUBDOMAIN = must_match(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
NOT_A_WILDCARD = must_match(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
NOT_A_CONFIG_KEY = must_match(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
NOT_A_PERCENT = must_match(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)
NOT_A_HEADER = must_match(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name"
)
NOT_A_VARIABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def dns_label(value: str) -> list[str]:
    problems = [at_most(LABEL_LENGTH)] if len(value) > LABEL_LENGTH else []
    if not _label.fullmatch(value):
        problems.append("must not contain dots" if _subdomain.fullmatch(value) else NOT_A_LABEL)
    return problems


def dns_1035_label(value: str) -> list[str]:
    """A label that cannot be taken for a number: versions and plural names are such."""
    problems = [at_most(LABEL_LENGTH)] if len(value) > LABEL_LENGTH else []
    if not _1035_label.fullmatch(value):
        problems.append(NOT_A_1035_LABEL)
    return problems


def dns_subdomain(value: str) -> list[str]:
    problems = [at_most(SUBDOMAIN_LENGTH)] if len(value) > SUBDOMAIN_LENGTH else []
    if not _subdomain.fullmatch(value):
        problems.append(NOT_A_SUBDOMAIN)
    return problems


def wildcard_subdomain(value: str) -> list[str]:
    problems = [at_most(SUBDOMAIN_LENGTH)] if len(value) > SUBDOMAIN_LENGTH else []
    if not _wildcard.fullmatch(value):
        problems.append(NOT_A_WILDCARD)
    return problems


def path_segment(value: str) -> list[str]:
    """Whatever can be one part of a URL's path: RBAC names may hold colons and capitals."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]


def port_name(value: str) -> list[str]:
    problems = [at_most(PORT_NAME_LENGTH)] if len(value) > PORT_NAME_LENGTH else []
    if not re.fullmatch("[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret, which becomes a file's name."""
    problems = [at_most(SUBDOMAIN_LENGTH)] if len(value) > SUBDOMAIN_LENGTH else []
    if not _config_key.fullmatch(value):
        problems.append(NOT_A_CONFIG_KEY)
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def variable_name(value: str) -> list[str]:
    if not value:
        return ["environment variable name must be non-empty"]
    return [] if value.isascii() and value.isprintable() and "=" not in value else [NOT_A_VARIABLE]


def header_name(value: str) -> list[str]:
    return [] if _header.fullmatch(value) else [NOT_A_HEADER]


def sysctl_name(value: str) -> list[str]:
    if len(value) <= SUBDOMAIN_LENGTH and _sysctl.fullmatch(value):
        return []
    return [f"must have at most {SUBDOMAIN_LENGTH} characters and match regex ^{_SYSCTL}$"]


def percent(value: str) -> list[str]:
    return [] if _percent.fullmatch(value) else [NOT_A_PERCENT]


def ip_address(value: str) -> list[str]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [LEADING_ZEROS if _is_address_but_for_zeros(value) else NOT_AN_ADDRESS]
    return []


def _is_address_but_for_zeros(value: str) -> bool:
    """Whether each part of it is a number, which some read as octal when it begins with 0."""
    parts = value.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part[-4:]) <= 255 for part in parts)


def canonical_ip_address(value: str) -> list[str]:
    """An address as it names an IPAddress: written in the one way that has no other."""
    if problems := ip_address(value):
        return problems
    canonical = str(ipaddress.ip_address(value))
    return [] if value == canonical else [f'must be in canonical form ("{canonical}")']


def cidr(value: str) -> list[str]:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return [NOT_A_CIDR]
    return [] if "/" in value else [NOT_A_CIDR]


def exact_cidr(value: str) -> list[str]:
    """A network's address and length, with nothing set where the hosts are."""
    if problems := cidr(value):
        return problems
    network = ipaddress.ip_network(value, strict=False)
    if ipaddress.ip_interface(value).ip != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return [] if value == str(network) else [f'must be in canonical form ("{network}")']
