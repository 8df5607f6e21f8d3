"""Quantities of resources (`100m`, `1.5Gi`, `2e3`), exact: resource.Quantity's grammar, bounds and canonical form.

A quantity is a number with a suffix in one of three formats: DecimalSI (n u m, none, k M G T P E), BinarySI (Ki Mi Gi
Ti Pi Ei) and DecimalExponent (e3). The canonical form keeps the format and the value, has no fraction, and takes the
largest suffix that allows that: `1500m` stays, `1.5Gi` is `1536Mi`, `0.5` is `500m`. Values are integers of nano
units, as nothing finer exists: what is finer is rounded away from zero.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

NANO = 10**9
"""Units of `Quantity.nanos` in one."""
MAX_BINARY = (1 << 63) - 1
"""Where a quantity in a binary format is capped."""

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_ERROR = "unable to parse quantity's suffix"

_PARTS = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?\d+)", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}

MAX_EXPONENT = 1000
"""No sensible quantity has a larger exponent; it bounds the work that a request can ask for."""

QUANTITIES_REMEMBERED = 4096
REMEMBERED_CHARACTERS = 32
"""A cluster's pods ask for the same few amounts again and again, in few characters."""


class InvalidQuantity(ValueError):
    """The text is no quantity; the message is upstream's."""


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount, in nano units. `format` is how it was written; it takes no part in comparisons."""

    nanos: int
    format: str = field(default="DecimalSI", compare=False)

    def __add__(self, other: "Quantity") -> "Quantity":
        """The sum, in the format of the first that isn't zero."""
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return self + -other

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nanos, self.format)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def scaled(self, units_per_one: int) -> int:
        """The amount in units of 1/`units_per_one`, rounded away from zero."""
        magnitude = _divide_up(abs(self.nanos) * units_per_one, NANO)
        return magnitude if self.nanos >= 0 else -magnitude

    def __str__(self) -> str:
        return _canonical(self)


def parse_quantity(value: str | int | float) -> Quantity:
    """The amount that a JSON string or number names. Raises InvalidQuantity."""
    text = value if isinstance(value, str) else _number_text(value)
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS else _parse(text)


def _parse(text: str) -> Quantity:
    match = _PARTS.fullmatch(text) if text else None
    if match is None:
        raise InvalidQuantity(FORMAT_ERROR)
    sign, whole, fraction, suffix = match.groups()  # without any digit it is zero, as upstream reads it
    numerator, places = int((whole + (fraction or "")) or "0"), len(fraction or "")
    format_, base, exponent = _interpret(suffix)
    if base == 2:
        nanos = _divide_up(numerator * NANO << exponent, 10**places)
        nanos = min(nanos, MAX_BINARY * NANO)
    else:
        shift = exponent - places + 9
        nanos = numerator * 10**shift if shift >= 0 else _divide_up(numerator, 10**-shift)
    if format_ == "BinarySI" and 0 < nanos < NANO:
        format_ = "DecimalSI"  # a fraction of a byte has no binary suffix to be written with
    return Quantity(-nanos if sign == "-" else nanos, format_)


_remembered = lru_cache(maxsize=QUANTITIES_REMEMBERED)(_parse)


def _number_text(value: float) -> str:
    """A JSON number as the text that is parsed: Go reads the literal itself, so `0.1` is a tenth exactly."""
    return str(value) if isinstance(value, int) else repr(value)


def _divide_up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _interpret(suffix: str) -> tuple[str, int, int]:
    """Format, base and exponent."""
    if suffix in _DECIMAL:
        return "DecimalSI", 10, _DECIMAL[suffix]
    if suffix in _BINARY:
        return "BinarySI", 2, _BINARY[suffix]
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or abs(int(exponent[1])) > MAX_EXPONENT:
        raise InvalidQuantity(SUFFIX_ERROR)
    return "DecimalExponent", 10, int(exponent[1])


def _canonical(quantity: Quantity) -> str:
    nanos = quantity.nanos
    if nanos == 0:
        return "0"
    fits_binary = nanos % NANO == 0 and abs(nanos) >= 1024 * NANO
    if quantity.format == "BinarySI" and fits_binary:
        number, exponent = nanos // NANO, 0
        while number % 1024 == 0 and exponent < 60:
            number, exponent = number // 1024, exponent + 10
        return f"{number}{_BINARY_SUFFIX[exponent]}"
    number, exponent = nanos, -9
    while number % 1000 == 0 and (exponent < 18 or quantity.format == "DecimalExponent"):
        number, exponent = number // 1000, exponent + 3
    if quantity.format == "DecimalExponent":
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_DECIMAL_SUFFIX[exponent]}"


def format_quantity(value: str | int | float | Quantity) -> str:
    """The canonical form, e.g. `1536Mi` for `1.5Gi`."""
    if type(value) is str and len(value) <= REMEMBERED_CHARACTERS:
        return _remembered_form(value)
    return str(value if isinstance(value, Quantity) else parse_quantity(value))


@lru_cache(maxsize=QUANTITIES_REMEMBERED)
def _remembered_form(text: str) -> str:
    return str(_parse(text))


def cpu_millicores(value: str | int | float) -> int:
    """Thousandths of a core, rounded up: `100m` is 100, `0.5` is 500, `1n` is 1."""
    return parse_quantity(value).scaled(1000)


def bytes_of(value: str | int | float) -> int:
    """Whole units (bytes, pods, a count), rounded up: `1Ki` is 1024, `1500m` is 2."""
    return parse_quantity(value).scaled(1)
