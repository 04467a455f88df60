"""What a fill costs its two parties, always against the Fees account (RULES O3)."""

from typing import NamedTuple

from node.perp.parameters import MarketParams
from node.units import PPM, Quote, RatePpm, mul_div_ceil, mul_div_floor


class FeeRates(NamedTuple):
    """What a fill is charged, in ppm of its notional; negative: a rebate."""

    taker_ppm: RatePpm
    maker_ppm: RatePpm


def compute_trade_rates(params: MarketParams) -> FeeRates:
    """Return what an ordinary fill is charged (O3)."""
    return FeeRates(params.taker_fee_ppm, params.maker_fee_ppm)


def compute_liquidation_rates(params: MarketParams) -> FeeRates:
    """Return what a liquidation's fill is charged: the taker nothing, and no rebate (O3)."""
    return FeeRates(RatePpm(0), max(params.maker_fee_ppm, RatePpm(0)))


def compute_fee(value: Quote, rate: RatePpm) -> Quote:
    """Return the fee of a fill worth `value` > 0, in atoms (O3).

    The payer's is ceiled and the receiver's floored in magnitude, so that Fees never lose the
    remainder; -(value·|rate|/1e6 floored) is the same ceiling of a negative number.
    """
    if rate >= 0:
        return Quote(mul_div_ceil(value, rate, PPM))
    return Quote(-mul_div_floor(value, -rate, PPM))
