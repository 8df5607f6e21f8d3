"""Quantities: grammar, canonical form and rounding. The table's answers are those of resource.Quantity itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.quantity import (
    FORMAT_ERROR,
    NANO,
    SUFFIX_ERROR,
    InvalidQuantity,
    Quantity,
    bytes_of,
    cpu_millicores,
    format_quantity,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "canonical", "milli", "whole"),
    [
        ("0", "0", 0, 0),
        ("1.5Gi", "1536Mi", 1610612736000, 1610612736),
        ("0.5", "500m", 500, 1),
        (".5", "500m", 500, 1),
        ("1500m", "1500m", 1500, 2),
        ("1000m", "1", 1000, 1),
        ("1n", "1n", 1, 1),
        ("0.1n", "1n", 1, 1),
        ("1.0001n", "2n", 1, 1),
        ("1e3", "1e3", 1000000, 1000),
        ("1E3", "1e3", 1000000, 1000),
        ("1e1", "10", 10000, 10),
        ("1E", "1E", 10**21, 10**18),
        ("1024", "1024", 1024000, 1024),
        ("1024Ki", "1Mi", 1048576000, 1048576),
        ("1000Ki", "1000Ki", 1024000000, 1024000),
        ("0.1Ki", "102400m", 102400, 103),
        ("0.5Ki", "512", 512000, 512),
        ("-1.5Gi", "-1536Mi", -1610612736000, -1610612736),
        ("-656907m", "-656907m", -656907, -657),
        ("+1", "1", 1000, 1),
        ("m", "0", 0, 0),
        ("16Ei", "9223372036854775807", 9223372036854775807000, 9223372036854775807),
        (2, "2", 2000, 2),
        (0.1, "100m", 100, 1),
    ],
)
def test_canonical_form_and_rounding(text: str | float, canonical: str, milli: int, whole: int) -> None:
    """What is stored and shown, and what the scheduler and the kubelet count: always rounded up."""
    assert format_quantity(text) == canonical
    assert cpu_millicores(text) == milli
    assert bytes_of(text) == whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", FORMAT_ERROR),
        ("1 ", FORMAT_ERROR),
        ("1.2.3", FORMAT_ERROR),
        ("1Gb", FORMAT_ERROR),
        ("٣", FORMAT_ERROR),
        ("1K", SUFFIX_ERROR),
        ("1ki", SUFFIX_ERROR),
        ("--1", SUFFIX_ERROR),
        ("1e", SUFFIX_ERROR),
        ("1e99999999999", SUFFIX_ERROR),
    ],
)
def test_errors(text: str, message: str) -> None:
    """Bad quantities are refused in upstream's words; a huge exponent costs no memory."""
    with pytest.raises(InvalidQuantity) as failure:
        parse_quantity(text)
    assert str(failure.value) == message


amounts = st.builds(
    Quantity,
    st.integers(-(10**27), 10**27) | st.integers(-(10**6), 10**6).map(lambda n: n * NANO),
    st.sampled_from(["DecimalSI", "BinarySI", "DecimalExponent"]),
)


@given(amounts)
def test_canonical_form_is_a_fixed_point(quantity: Quantity) -> None:
    """Formatting loses nothing, and what the server wrote once it never writes differently again.

    Twice, because a binary amount without a suffix reads back as decimal: 125000 bytes become 125k, as upstream's do.
    """
    assert parse_quantity(str(quantity)) == quantity
    written = format_quantity(str(quantity))
    assert format_quantity(written) == written


@given(amounts, amounts)
def test_arithmetic_and_order(a: Quantity, b: Quantity) -> None:
    """Sums and comparisons are those of the amounts, whatever the formats."""
    assert (a + b).nanos == a.nanos + b.nanos
    assert a - b == -(b - a)
    assert (a < b) == (a.nanos < b.nanos)
    assert (a == b) == (a.nanos == b.nanos)
