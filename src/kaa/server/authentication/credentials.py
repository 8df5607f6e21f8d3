"""What every way of authenticating shares: the error, and the reading of headers."""

from collections.abc import Mapping


class InvalidCredentials(Exception):
    """There are credentials, and they are wrong. The text is for the log: the client only learns that it is so."""


def header_values(headers: Mapping[str, str], name: str) -> list[str]:
    """All values of a header that may be repeated; repeats arrive joined with commas (RFC 9110 section 5.3)."""
    return [value.strip() for value in headers.get(name, "").split(",") if value.strip()]
