"""How the exchange's own methods show a quantity: the integer, and its exact decimal beside it."""

import orjson

from node.perp.parameters import COLLATERAL_DECIMALS, MarketParams
from node.rpc.render import Json


def render_decimal(value: int, decimals: int) -> str:
    """Return value / 10^decimals exactly, with all its decimals."""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    sign = "-" if value < 0 else ""
    if decimals == 0:
        return sign + digits
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def render_integer(value: int) -> Json:
    """Return the integer as orjson writes it: it refuses more than 64 bits by itself."""
    return value if -(2**63) <= value < 2**63 else orjson.Fragment(str(value))


def render_quantity(unit: str, value: int, decimals: int) -> Json:
    """Return an integer under its unit, and its decimal."""
    return {unit: render_integer(value), "decimal": render_decimal(value, decimals)}


def render_price(value: int, params: MarketParams) -> Json:
    """Return ticks and USD; 0 is no price at all."""
    return render_quantity("ticks", value, params.tick_decimals) if value else None


def render_size(value: int, params: MarketParams) -> Json:
    """Return lots and the base asset."""
    return render_quantity("lots", value, params.lot_decimals)


def render_money(value: int) -> Json:
    """Return atoms and USDC."""
    return render_quantity("atoms", value, COLLATERAL_DECIMALS)


def render_rate(value: int) -> Json:
    """Return a rate per 8 h."""
    return render_quantity("ppb", value, 9)


def render_fraction(value: int) -> Json:
    """Return a fraction."""
    return render_quantity("ppm", value, 6)


def render_index(value: int) -> Json:
    """Return a funding index."""
    return render_quantity("nanoAtoms", value, 9)


def render_entry_price(entry_value: int, size: int, params: MarketParams) -> str:
    """Return entry value / (size · K) in USD, rounded half up to three digits below a tick."""
    extra = 3
    lots = abs(size) * params.k
    ticks = (2 * abs(entry_value) * 10**extra + lots) // (2 * lots)
    negative = entry_value != 0 and (entry_value < 0) != (size < 0)
    return render_decimal(-ticks if negative else ticks, params.tick_decimals + extra)
