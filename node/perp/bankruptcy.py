"""What closing a part of a position is worth to its owner's equity: the bankruptcy quote b (L2)."""

from node.perp.account import get_position
from node.perp.ledger import Ledger
from node.perp.margin import compute_maintenance, compute_risk
from node.perp.mark import get_mark
from node.perp.parameters import MarketParams
from node.units import Address, Lots, MarketId, Quote, Ticks, mul_div_floor, notional


def compute_bankruptcy_quote(
    closed: Lots, mark: Ticks, k: int, *, equity: Quote, before: Quote, after: Quote
) -> Quote:
    """Return b, what an account is due for closing `closed` lots, signed as a balance (L2).

    Their value at the mark less their share of the equity, floor(equity·(fall of MM)/MM):
    `closed` is signed as the position, `before` and `after` are its account's MM.
    """
    share = mul_div_floor(equity, before - after, before)
    return Quote(notional(closed, mark, k) - share)


def get_bankruptcy_quote(ledger: Ledger, owner: Address, market: MarketId, closed: Lots) -> Quote:
    """Return b for closing `closed` lots of an account's position, signed as the position (L2).

    Plain equity and MM at the block's mark; funding is settled.
    """
    params, mark = ledger.market_params(market), get_mark(ledger, market)
    risk = compute_risk(ledger, owner)
    size = get_position(ledger, owner, market).size
    after = (
        risk.maintenance
        - compute_position_maintenance(size, mark, params)
        + compute_position_maintenance(Lots(size - closed), mark, params)
    )
    return compute_bankruptcy_quote(
        closed, mark, params.k, equity=risk.equity, before=risk.maintenance, after=Quote(after)
    )


def compute_position_maintenance(size: Lots, mark: Ticks, params: MarketParams) -> Quote:
    """Return the MM of a position at the mark (G1)."""
    return compute_maintenance(params, Quote(abs(notional(size, mark, params.k))))
