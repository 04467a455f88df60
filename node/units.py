"""The scalar types of the domain, and the only places where a division rounds.

Every quantity is an integer with a unit in its type (RULES, Units). A unit is given where a value
gains its meaning: `Quote(size * price * k)`. Python's `//` floors; the helpers say so by name.
"""

from typing import NewType

Address = NewType("Address", bytes)
"""20 bytes."""
Hash32 = NewType("Hash32", bytes)
"""32 bytes, a keccak-256 digest."""

Quote = NewType("Quote", int)
"""Collateral in atoms: 1 atom = 0.000001 USDC."""
Wei = NewType("Wei", int)
"""Native coin, 18 decimals; pays for gas and nothing else."""
Lots = NewType("Lots", int)
"""Signed size; positive is long, or a buy."""
Ticks = NewType("Ticks", int)
"""Price."""
RatePpm = NewType("RatePpm", int)
"""A fraction in millionths."""
RatePpb = NewType("RatePpb", int)
"""A funding premium or rate in billionths, per 8 hours."""
FundingIndex = NewType("FundingIndex", int)
"""Cumulative funding in 1e-9 atoms per lot; unbounded."""
TimeMs = NewType("TimeMs", int)
"""A point in block time, in milliseconds since 1970."""
DurationMs = NewType("DurationMs", int)
"""A span of block time, in milliseconds."""
Height = NewType("Height", int)
"""A block number."""
MarketId = NewType("MarketId", int)
"""1 and up; 0 stands for the whole chain where a mode is meant."""
OrderId = NewType("OrderId", int)
"""Counts from 1 in each market; also the time priority. Triggers count in the same sequence."""

PPM = 1_000_000
PPB = 1_000_000_000


def notional(size: Lots, price: Ticks, k: int) -> Quote:
    """Return the exact, signed value of `size` lots at `price` ticks (RULES, Units)."""
    return Quote(size * price * k)


def mul_div_floor(a: int, b: int, divisor: int) -> int:
    """Return a·b/divisor rounded toward minus infinity."""
    return a * b // divisor


def mul_div_ceil(a: int, b: int, divisor: int) -> int:
    """Return a·b/divisor rounded toward plus infinity."""
    return -(-a * b // divisor)


def mul_div_trunc(a: int, b: int, divisor: int) -> int:
    """Return a·b/divisor rounded toward zero."""
    product = a * b
    magnitude = abs(product) // abs(divisor)
    return magnitude if (product >= 0) == (divisor > 0) else -magnitude


def div_floor(a: int, divisor: int) -> int:
    """Return a/divisor rounded toward minus infinity."""
    return a // divisor


def div_trunc(a: int, divisor: int) -> int:
    """Return a/divisor rounded toward zero."""
    return mul_div_trunc(a, 1, divisor)


def clamp(value: int, *, lowest: int, highest: int) -> int:
    """Return `value` moved into [lowest, highest]."""
    return max(lowest, min(value, highest))
