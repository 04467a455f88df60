"""The scalar helpers: each rounds as its name says, against exact fractions."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from node.units import (
    Lots,
    Ticks,
    clamp,
    div_floor,
    div_trunc,
    mul_div_ceil,
    mul_div_floor,
    mul_div_trunc,
    notional,
)

integers = st.integers(-(10**30), 10**30)
divisors = integers.filter(bool)


@given(integers, integers, divisors)
def test_mul_div_rounds_as_its_name_says(a: int, b: int, divisor: int) -> None:
    exact = Fraction(a * b, divisor)

    assert mul_div_floor(a, b, divisor) == math.floor(exact)
    assert mul_div_ceil(a, b, divisor) == math.ceil(exact)
    assert mul_div_trunc(a, b, divisor) == math.trunc(exact)


@given(integers, divisors)
def test_div_rounds_as_its_name_says(a: int, divisor: int) -> None:
    exact = Fraction(a, divisor)

    assert div_floor(a, divisor) == math.floor(exact)
    assert div_trunc(a, divisor) == math.trunc(exact)


def test_rounding_of_minus_seven_halves() -> None:
    assert mul_div_floor(-7, 1, 2) == -4
    assert mul_div_ceil(-7, 1, 2) == -3
    assert mul_div_trunc(-7, 1, 2) == -3
    assert mul_div_trunc(7, 1, -2) == -3
    assert mul_div_trunc(-7, 1, 1) == -7
    assert mul_div_trunc(7, 1, 1) == 7


@given(integers, integers, st.integers(1, 10**6))
def test_notional_is_signed_like_the_size_and_never_rounds(size: int, price: int, k: int) -> None:
    value = notional(Lots(size), Ticks(price), k)

    assert value == size * price * k
    assert notional(Lots(-size), Ticks(price), k) == -value


@given(integers, integers, integers)
def test_clamp_returns_the_nearest_value_within(value: int, one: int, other: int) -> None:
    lowest, highest = sorted((one, other))

    clamped = clamp(value, lowest=lowest, highest=highest)

    assert lowest <= clamped <= highest
    assert clamped == value or clamped in (lowest, highest)
    assert (clamped == value) == (lowest <= value <= highest)
