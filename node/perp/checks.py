"""Single invariants that both a block's check and the full sweep use (RULES I2, I3, I6, I7).

Each raises InvariantViolation naming the field, its value and what it should be.
"""

from collections.abc import Sequence

from node.errors import InvariantViolation
from node.perp.account import FEES, REFUNDS, VAULT, get_account, get_position, market_address
from node.perp.compensation import get_compensation
from node.perp.fill import compute_reducible
from node.perp.funding import compute_pending, get_funding
from node.perp.ledger import Ledger
from node.perp.mark import compute_mark_band, get_mark
from node.perp.oracle import get_oracle
from node.perp.order import Order
from node.perp.status import Mode, get_mode
from node.units import PPB, Address, Lots, MarketId, OrderId, Ticks, div_floor, notional


def check_pool(ledger: Ledger, market: MarketId) -> None:
    """I3: 1e9·FundingPool = funding_dust + Σ pending x, and Σ pending x = Σ size·index."""
    funding = get_funding(ledger, market)
    pool = get_account(ledger, market_address(market)).balance
    check_equal(
        ledger,
        f"market {market}, 1e9·FundingPool",
        PPB * pool,
        funding.dust + funding.size_index_sum,
        "I3",
    )


def check_fees(ledger: Ledger) -> None:
    """I6: Fees are not negative."""
    fees = get_account(ledger, FEES).balance
    if fees < 0:
        raise InvariantViolation(ledger.height, "Fees balance", fees, "at least 0", "I6")


def check_escrow(ledger: Ledger) -> None:
    """I1: Refunds holds what open compensations have left, and nothing else."""
    left = sum(get_compensation(ledger, number).left for number in ledger.escrow.open)
    balance = get_account(ledger, REFUNDS).balance
    check_equal(ledger, "Refunds balance", balance, left, "I1")


def check_compensated(before: Ledger, after: Ledger, total: int) -> None:
    """I6: the council had the vault give no more than it was worth as the block began (L5).

    What it held in a market that was settled in the block was worth the better of the mark and the
    settlement price: the council may have acted in either order.
    """
    if not total:
        return
    equity: int = get_account(before, VAULT).balance
    for market in before.market_ids:
        worth = _get_vault_worth(before, before, market, get_mark(before, market))
        if (closure := after.closures.get(market)) is not None:
            worth = max(worth, _get_vault_worth(before, before, market, closure.price))
        equity += worth
    if total > equity:
        where = "LiquidatorVault, compensations"
        raise InvariantViolation(after.height, where, total, f"at most {equity}", "I6")


def check_vault(before: Ledger, after: Ledger, *, compensated: int) -> None:
    """I6: the vault pays what it has, and takes no more than it may hold.

    Its equity before is what it held before at the block's marks and indices, without what the
    council had it give, at the marks before: nothing that the block did may have taken it below 0,
    or lower where it was there already (L5). What it held in a market that was settled was worth
    the settlement price (X5).
    """
    equity: int = get_account(after, VAULT).balance
    least: int = get_account(before, VAULT).balance - compensated
    for market in after.market_ids:
        closure = after.closures.get(market)
        price = get_mark(after, market) if closure is None else closure.price
        equity += _get_vault_worth(after, after, market, price)
        least += _get_vault_worth(before, after, market, price)
        held, had = (abs(get_position(each, VAULT, market).size) for each in (after, before))
        limit = max(had, after.market_params(market).vault_size_max)
        if held > limit:
            where = f"market {market}, LiquidatorVault size"
            raise InvariantViolation(after.height, where, held, f"at most {limit}", "I6")
    least = min(0, least)
    if equity < least:
        raise InvariantViolation(
            after.height, "LiquidatorVault equity", equity, f"at least {least}", "I6"
        )


def _get_vault_worth(holding: Ledger, at: Ledger, market: MarketId, price: Ticks) -> int:
    """Return what the vault's position in one state is worth at a price and another's index."""
    position = get_position(holding, VAULT, market)
    if position.size == 0:
        return 0
    value = notional(position.size, price, at.market_params(market).k)
    return value + div_floor(compute_pending(get_funding(at, market), position), PPB)


def check_mark(before: Ledger, after: Ledger, market: MarketId) -> None:
    """I7: the mark is within the band, and the oracle price where the parent did not end OPEN."""
    mark, oracle = get_mark(after, market), get_oracle(after, market).price
    if get_mode(before, market) != Mode.OPEN:
        check_equal(after, f"market {market}, mark", mark, oracle, "I7")
    band = compute_mark_band(oracle, after.market_params(market).mark_band_ppm)
    if not band.lowest <= mark <= band.highest:
        where, wanted = f"market {market}, mark", f"from {band.lowest} to {band.highest}"
        raise InvariantViolation(after.height, where, mark, wanted, "I7")


def check_book(ledger: Ledger, market: MarketId, order_ids: Sequence[OrderId]) -> None:
    """I2: not crossed; what rests is more than nothing and, reduce-only, opposes a position."""
    book = ledger.book(market)
    bid, ask = book.best_bid(), book.best_ask()
    if bid is not None and ask is not None and bid.price >= ask.price:
        raise InvariantViolation(
            ledger.height, f"market {market}, best bid", bid.price, f"below {ask.price}", "I2"
        )
    resting = book.orders
    orders = [resting[order_id] for order_id in order_ids if order_id in resting]
    check_reduce_only(ledger, market, orders)
    for order in orders:
        if order.size == 0 or order.price <= 0:
            raise InvariantViolation(
                ledger.height,
                f"market {market}, order {order.id}, size and price",
                (order.size, order.price),
                "size not 0, price positive",
                "I2",
            )
    for owner in sorted({order.owner for order in orders}):
        check_membership(ledger, owner, market)


def check_reduce_only(ledger: Ledger, market: MarketId, orders: Sequence[Order]) -> None:
    """I2: reduce-only orders oppose a position, each by no more than it."""
    for order in orders:
        if order.reduce_only:
            position = get_position(ledger, order.owner, market).size
            check_equal(
                ledger,
                f"market {market}, reduce-only order {order.id}, size",
                order.size,
                compute_reducible(position, order.size),
                "I2",
            )


def check_membership(ledger: Ledger, owner: Address, market: MarketId) -> None:
    """I2: an account lists exactly the markets that its margin must look at."""
    is_member = (
        ledger.positions.get((owner, market)) is not None or ledger.book(market).count_of(owner) > 0
    )
    check_equal(
        ledger,
        f"account 0x{owner.hex()}, lists market {market}",
        market in get_account(ledger, owner).markets,
        is_member,
        "I2",
    )


def check_equal(ledger: Ledger, field: str, value: object, expected: object, rule: str) -> None:
    """Raise InvariantViolation with both values unless they are equal."""
    if value != expected:
        raise InvariantViolation(ledger.height, field, value, expected, rule)


def get_open_interest(ledger: Ledger, market: MarketId) -> Lots:
    """Return the market's running open interest."""
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    return record.open_interest
