"""What a label's key and value may look like, in upstream's words.

Both functions return sentences about what is wrong, none when nothing is. A key is `name` or `prefix/name`: the
prefix a DNS subdomain, the name at most 63 bytes. Annotation keys follow the same rule.
"""

import re

_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_NAME_CHARACTERS = (
    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_NAME_RULE = f"must {_NAME_CHARACTERS}"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY_EXAMPLES = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"

MAX_NAME_BYTES = 63
MAX_PREFIX_BYTES = 253

_name = re.compile(_NAME)
_subdomain = re.compile(_SUBDOMAIN)
_value = re.compile(f"({_NAME})?")


def label_key_problems(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        optional_prefix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {_NAME_RULE} {_KEY_EXAMPLES}{optional_prefix}"]
    problems = _prefix_problems(prefix) if slash else []
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > MAX_NAME_BYTES:
        problems.append(f"name part must be no more than {MAX_NAME_BYTES} bytes")
    if not _name.fullmatch(name):
        problems.append(f"name part {_NAME_RULE} {_KEY_EXAMPLES}")
    return problems


def _prefix_problems(prefix: str) -> list[str]:
    if not prefix:
        return ["prefix part must be non-empty"]
    problems = []
    if len(prefix) > MAX_PREFIX_BYTES:
        problems.append(f"prefix part must be no more than {MAX_PREFIX_BYTES} bytes")
    if not _subdomain.fullmatch(prefix):
        problems.append(
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character "
            f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
        )
    return problems


def label_value_problems(value: str) -> list[str]:
    problems = []
    if len(value.encode()) > MAX_NAME_BYTES:
        problems.append(f"must be no more than {MAX_NAME_BYTES} bytes")
    if not _value.fullmatch(value):
        problems.append(
            f"a valid label must be an empty string or {_NAME_CHARACTERS} "
            f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_NAME})?')"
        )
    return problems
