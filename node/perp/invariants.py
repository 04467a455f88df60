"""What must hold after every block, checked before anybody signs it (RULES I1 to I8).

`check_block` looks at what a block touched and costs little; `check_all` sweeps the whole state
(`sweep`). Both raise InvariantViolation, which rejects the block and names the first number that is
wrong.

The money is reconciled: what each account gained must be what the block's events say it gained, so
that no balance moves unless a log tells (I1, I5, I8). Index, price and modes are recomputed from
the parent's records, never from the block's own (I4, I7). I5's second half, that revaluing all
positions moves no total, is Σ size = 0 (I2). I9 is the tokens' and is checked where tokens are.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from node.errors import InvariantViolation
from node.perp.account import (
    BRIDGE,
    DEFICIT,
    FEES,
    REFUNDS,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    get_account,
    get_position,
    market_address,
)
from node.perp.checks import (
    check_book,
    check_compensated,
    check_equal,
    check_escrow,
    check_fees,
    check_mark,
    check_membership,
    check_pool,
    check_reduce_only,
    check_vault,
    get_open_interest,
)
from node.perp.events import (
    BalanceAbsorbed,
    CompensationClosed,
    CompensationOpened,
    Deposited,
    Event,
    FundingSettled,
    HaltScheduled,
    JumpAcknowledged,
    ModeDecreed,
    OrderFilled,
    PositionDeleveraged,
    PositionLiquidated,
    PositionSettled,
    PositionTakenOver,
    RefundPaid,
    Withdrawn,
)
from node.perp.funding import (
    ELAPSED_MS_MAX,
    RATE_PERIOD_MS,
    compute_index_step,
    compute_rate_cap,
    get_funding,
)
from node.perp.ledger import Ledger
from node.perp.margin import compute_maintenance, compute_risk
from node.perp.mark import get_mark
from node.perp.modes import CONFIRM_BLOCKS_MIN, REOPEN_BLOCKS_MIN
from node.perp.oracle import (
    compute_acknowledged,
    compute_lower_median,
    compute_oracle,
    get_fresh_reports,
    get_oracle,
    get_usable_reports,
)
from node.perp.status import (
    CHAIN,
    ChainStatus,
    Decree,
    MarketStatus,
    Mode,
    get_mode,
    get_status,
)
from node.perp.sweep import SweepableLedger, check_all
from node.units import (
    Address,
    DurationMs,
    Height,
    Lots,
    MarketId,
    Quote,
    TimeMs,
    mul_div_floor,
    notional,
)

__all__ = ["SweepableLedger", "Touched", "check_all", "check_block", "check_liquidatable"]


class Touched(NamedTuple):
    """What a block wrote, each collection sorted, and what it says it did."""

    accounts: Collection[Address]
    positions: Collection[tuple[Address, MarketId]]
    markets: Collection[MarketId]
    """Those with a changed book, counter or position."""
    events: Sequence[Event]


# --- after a block --------------------------------------------------------------------------------


def check_block(before: Ledger, after: Ledger, touched: Touched) -> None:
    """Raise InvariantViolation unless the block that led from `before` to `after` may stand.

    `before` is the parent's state, `after` the block's with its height and times.
    """
    _check_balances(before, after, touched)
    _check_reconciled(before, after, touched)
    check_fees(after)
    check_escrow(after)
    opened = [each.total for each in touched.events if isinstance(each, CompensationOpened)]
    check_compensated(before, after, sum(opened))
    check_vault(before, after, compensated=sum(opened))
    _check_positions(before, after, touched)
    for market in touched.markets:
        check_book(after, market, sorted(after.book(market).changed_orders))
    decreed = compute_decrees(before, touched.events)
    acknowledged = {each.market for each in touched.events if isinstance(each, JumpAcknowledged)}
    for market in after.market_ids:
        _check_price(before, after, market, is_acknowledged=market in acknowledged)
        check_mark(before, after, market)
        _check_market_mode(before, after, market, decreed)
    _check_chain_mode(before, after, decreed)
    check_liquidated(after, touched.events)
    for market in after.market_ids:
        _check_funding(before, after, market)


def _check_balances(before: Ledger, after: Ledger, touched: Touched) -> None:
    """I1: the sum over all balances, BRIDGE included, is 0 and does not move."""
    moved = sum(_get_gain(before, after, address) for address in touched.accounts)
    if moved != 0:
        raise InvariantViolation(after.height, "sum of margin balances", moved, 0, "I1")


def _check_reconciled(before: Ledger, after: Ledger, touched: Touched) -> None:
    """I5, I8: each account gained what the events say, those without a position included."""
    told = compute_told_gains(after, touched.events)
    gains = {address: _get_gain(before, after, address) for address in touched.accounts}
    # A liquidation's income repays Deficit before it reaches the vault: together they must agree.
    for values in (told, gains):
        values[VAULT] = values.get(VAULT, 0) + values.pop(DEFICIT, 0)
    for address in sorted(told.keys() | gains.keys()):
        gain, expected = gains.get(address, 0), told.get(address, 0)
        if gain != expected:
            is_idle = address > SYSTEM_ADDRESS_MAX and not get_account(before, address).markets
            raise InvariantViolation(
                after.height,
                f"account 0x{address.hex()}, change of balance",
                gain,
                expected,
                "I8" if is_idle else "I5",
            )


def compute_told_gains(ledger: Ledger, events: Sequence[Event]) -> dict[Address, int]:
    """Return by how much each account's balance moved, according to the events."""
    gains: dict[Address, int] = defaultdict(int)
    for event in events:
        if isinstance(event, OrderFilled):
            cost = notional(event.size, event.price, ledger.market_params(event.market).k)
            gains[event.taker] -= cost + event.taker_fee
            gains[event.maker] += cost - event.maker_fee
            gains[FEES] += event.taker_fee + event.maker_fee
        elif isinstance(event, FundingSettled):
            gains[event.account] += event.cash
            gains[market_address(event.market)] -= event.cash
        elif isinstance(event, PositionLiquidated):
            gains[event.account] -= event.vault_payment
            gains[VAULT] += event.vault_payment
        elif isinstance(event, PositionTakenOver):
            gains[event.account] += event.bankruptcy_quote
            gains[VAULT] -= event.bankruptcy_quote
        elif isinstance(event, PositionDeleveraged):
            gains[event.account] += event.quote
            gains[event.counterparty] -= event.quote
        elif isinstance(event, PositionSettled):
            gains[event.account] += event.proceeds
        elif isinstance(event, BalanceAbsorbed):
            gains[event.account] += event.by_vault + event.by_deficit
            gains[VAULT] -= event.by_vault
            gains[DEFICIT] -= event.by_deficit
        elif isinstance(event, CompensationOpened):
            gains[VAULT] -= event.total
            gains[REFUNDS] += event.total
        elif isinstance(event, RefundPaid):
            gains[REFUNDS] -= event.amount
            gains[event.account] += event.amount
        elif isinstance(event, CompensationClosed):
            gains[REFUNDS] -= event.returned
            gains[VAULT] += event.returned
        elif isinstance(event, Deposited):
            gains[event.account] += event.amount
            gains[BRIDGE] -= event.amount
        elif isinstance(event, Withdrawn):
            gains[event.account] -= event.amount
            gains[BRIDGE] += event.amount
    return gains


def _check_positions(before: Ledger, after: Ledger, touched: Touched) -> None:
    """I2, I3: sizes still cancel out, and the running numbers moved with them."""
    sizes: dict[MarketId, int] = defaultdict(int)
    longs: dict[MarketId, int] = defaultdict(int)
    indices: dict[MarketId, int] = defaultdict(int)
    for owner, market in touched.positions:
        old, new = get_position(before, owner, market), get_position(after, owner, market)
        sizes[market] += new.size - old.size
        longs[market] += max(new.size, 0) - max(old.size, 0)
        indices[market] += new.size * new.funding_index - old.size * old.funding_index
        check_membership(after, owner, market)
        check_reduce_only(after, market, after.book(market).orders_of(owner))
    for market in sorted(sizes.keys() | set(touched.markets)):
        check_equal(after, f"market {market}, change of Σ size", sizes[market], 0, "I2")
        check_equal(
            after,
            f"market {market}, open interest",
            get_open_interest(after, market),
            get_open_interest(before, market) + longs[market],
            "I2",
        )
    for market in after.market_ids:
        check_equal(
            after,
            f"market {market}, Σ size·index",
            get_funding(after, market).size_index_sum,
            get_funding(before, market).size_index_sum + indices[market],
            "I3",
        )


class Decreed(NamedTuple):
    """What the council did to the modes in a block, as its events tell."""

    halt_height: Height
    """When a halt is due; 0: none is."""
    decrees: dict[MarketId, Decree]
    is_resumed: bool
    """Whether the chain left HALTED."""


def compute_decrees(before: Ledger, events: Sequence[Event]) -> Decreed:
    """Return what the council has set, the halt that was due before included (X1)."""
    halt_height = before.status.halt_height
    decrees: dict[MarketId, Decree] = {}
    for event in events:
        if isinstance(event, HaltScheduled):
            halt_height = event.height
        elif isinstance(event, ModeDecreed):
            decrees[event.market] = Decree(*event)
    is_resumed = before.status.mode == Mode.HALTED and CHAIN in decrees
    return Decreed(halt_height, decrees, is_resumed)


def _check_price(before: Ledger, after: Ledger, market: MarketId, *, is_acknowledged: bool) -> None:
    """I7: the oracle is what P1 and P2 make of its parent, the reports and the council's word."""
    expected, params = get_oracle(before, market), after.market_params(market)
    if is_acknowledged:
        fresh_from = TimeMs(after.time_ms - params.price_age_ms_max)
        waiting = [each.price for each in get_fresh_reports(before, market, fresh_from)]
        expected = compute_acknowledged(expected, compute_lower_median(waiting), after.time_ms)
    if get_mode(before, market) != Mode.HALTED and after.closures.get(market) is None:
        expected = compute_oracle(
            expected,
            get_usable_reports(after, market),
            quorum=after.params.reporter_quorum,
            time_ms=after.time_ms,
            height=after.height,
            params=params,
        )
    check_equal(after, f"market {market}, oracle", get_oracle(after, market), expected, "I7")


def _check_market_mode(before: Ledger, after: Ledger, market: MarketId, decreed: Decreed) -> None:
    """I7: the market's mode moved only as X2 allows, an alarm demands, or the council set."""
    old, new = get_status(before, market), get_status(after, market)
    oracle = get_oracle(after, market)
    is_closed = get_mode(before, market) != Mode.HALTED and (oracle.stale or bool(oracle.jump))
    elapsed = after.time_ms - after.parent_time_ms
    decree = decreed.decrees.get(market)
    if decree is None:
        held = old.held
        allowed = compute_allowed_modes(
            old,
            is_alarmed=is_closed or is_gap(after) or decreed.is_resumed,
            is_confirmed=(
                old.quorum_blocks + 1 >= CONFIRM_BLOCKS_MIN
                and old.quorum_ms + elapsed >= after.params.confirm_ms
            ),
            is_seasoned=is_seasoned(after, old),
        )
    else:
        held = decree.held
        is_barred = oracle.stale or bool(oracle.jump) or is_gap(after) or decreed.is_resumed
        allowed = (max(decree.mode, Mode.CANCEL_ONLY) if is_barred else decree.mode,)
    _check_mode(after, market, old, new, allowed)
    check_equal(after, f"market {market}, held mode", new.held.name, held.name, "I7")


def _check_chain_mode(before: Ledger, after: Ledger, decreed: Decreed) -> None:
    """I7: the chain's mode moved only as X2 allows, a gap demands, or the council set (X1)."""
    old, new = before.status, after.status
    decree, halt_height, held = decreed.decrees.get(CHAIN), decreed.halt_height, old.held
    if decree is not None:
        held = decree.held
        allowed: tuple[Mode, ...] = (
            max(decree.mode, Mode.CANCEL_ONLY) if is_gap(after) else decree.mode,
        )
    else:
        allowed = compute_allowed_modes(
            old,
            is_alarmed=is_gap(after),
            is_confirmed=any(
                get_status(after, market).mode < Mode.CANCEL_ONLY
                for market in after.market_ids
                if market not in decreed.decrees
            ),
            is_seasoned=is_seasoned(after, old),
        )
    if halt_height == after.height:
        allowed, halt_height = (Mode.HALTED,), Height(0)
    _check_mode(after, CHAIN, old, new, allowed)
    is_new = is_gap(after) or decreed.is_resumed
    for name, value, expected in (
        ("held mode", new.held, held),
        ("halt_height", new.halt_height, halt_height),
        ("decrees", new.decrees, ()),
        ("gap_end_ms", new.gap_end_ms, after.time_ms if is_new else old.gap_end_ms),
    ):
        check_equal(after, f"chain, {name}", value, expected, "I7")
    if new.withdrawals_from_ms < old.withdrawals_from_ms:
        raise InvariantViolation(
            after.height,
            "chain, withdrawals_from_ms",
            new.withdrawals_from_ms,
            f"at least {old.withdrawals_from_ms}",
            "I7",
        )


def compute_allowed_modes(
    old: MarketStatus | ChainStatus, *, is_alarmed: bool, is_confirmed: bool, is_seasoned: bool
) -> tuple[Mode, ...]:
    """Return the modes in which a block may leave what was in `old` before it (X1, X2)."""
    if old.mode == Mode.HALTED:
        return (Mode.HALTED,)
    if is_alarmed:
        return (Mode.CANCEL_ONLY,)
    if old.mode == Mode.CANCEL_ONLY and is_confirmed and old.held <= Mode.POST_ONLY:
        return (Mode.CANCEL_ONLY, Mode.POST_ONLY)
    if old.mode == Mode.POST_ONLY and is_seasoned and old.held == Mode.OPEN:
        return (Mode.POST_ONLY, Mode.OPEN)
    return (old.mode,)


def is_gap(ledger: Ledger) -> bool:
    """Tell whether the block came too late after its parent (X2); block 1 can't."""
    gap = ledger.time_ms - ledger.parent_time_ms
    return ledger.height > 1 and gap > ledger.params.gap_ms_max


def is_seasoned(ledger: Ledger, old: MarketStatus | ChainStatus) -> bool:
    """Tell whether a mode has lasted reopen_ms and 5 blocks (X2)."""
    return (
        ledger.time_ms - old.since_ms >= ledger.params.reopen_ms
        and ledger.height - old.since_height >= REOPEN_BLOCKS_MIN
    )


def _check_mode(
    after: Ledger,
    market: MarketId,
    old: MarketStatus | ChainStatus,
    new: MarketStatus | ChainStatus,
    allowed: tuple[Mode, ...],
) -> None:
    where = f"market {market}" if market != CHAIN else "chain"
    if new.mode not in allowed:
        names = " or ".join(mode.name for mode in allowed)
        raise InvariantViolation(after.height, f"{where}, mode", new.mode.name, names, "I7")
    since = (old.since_ms, old.since_height)
    if new.mode != old.mode:
        since = (after.time_ms, after.height)
    check_equal(after, f"{where}, mode since", (new.since_ms, new.since_height), since, "I7")


def _check_funding(before: Ledger, after: Ledger, market: MarketId) -> None:
    """I3, I4: the pool covers what it owes to the last 1e-9 atom; the index moved as F3 says."""
    funding, old = get_funding(after, market), get_funding(before, market)
    check_pool(after, market)
    if funding.dust < old.dust:
        raise InvariantViolation(
            after.height,
            f"market {market}, funding dust",
            funding.dust,
            f"at least {old.dust}",
            "I3",
        )
    elapsed = after.time_ms - after.parent_time_ms
    was_open = get_mode(before, market) == Mode.OPEN and get_mode(after, market) == Mode.OPEN
    if not was_open or elapsed > ELAPSED_MS_MAX:
        elapsed = 0
    params, oracle = after.market_params(market), get_oracle(after, market).price
    step = compute_index_step(old.rate_ppb, oracle, DurationMs(elapsed), params)
    check_equal(
        after, f"market {market}, FundingAccrued.index", funding.index, old.index + step, "I4"
    )
    cap = compute_rate_cap(params)
    limit = mul_div_floor(cap * oracle * params.k, elapsed, RATE_PERIOD_MS)
    if abs(step) > limit:
        raise InvariantViolation(
            after.height, f"market {market}, funding rate", old.rate_ppb, f"within ±{cap}", "I4"
        )


def check_liquidated(after: Ledger, events: Sequence[Event]) -> None:
    """I6: liquidation orders closed no more in a market than a block may; one lot always (O7)."""
    closed: dict[MarketId, int] = defaultdict(int)
    for event in events:
        if isinstance(event, PositionLiquidated):
            closed[event.market] += abs(event.size)
    for market, lots in sorted(closed.items()):
        params, mark = after.market_params(market), get_mark(after, market)
        value, limit = notional(Lots(lots), mark, params.k), params.liquidation_notional_max
        if lots > 1 and value > limit:
            where = f"market {market}, liquidated notional"
            raise InvariantViolation(after.height, where, value, f"at most {limit}", "I6")


# --- within a block -------------------------------------------------------------------------------


def check_liquidatable(ledger: Ledger, owner: Address) -> None:
    """Raise InvariantViolation (I6) unless equity, recomputed, is below MM at the mark (L1).

    A second way to the numbers that the queue of liquidations was sorted by: the account's shown
    risk, corrected by the doubt.
    """
    risk = compute_risk(ledger, owner)
    doubt = 0
    for market in get_account(ledger, owner).markets:
        if get_mode(ledger, market) != Mode.OPEN:
            params, mark = ledger.market_params(market), get_mark(ledger, market)
            size = get_position(ledger, owner, market).size
            doubt += compute_maintenance(params, Quote(abs(notional(size, mark, params.k))))
    if risk.equity + doubt >= risk.maintenance - doubt:
        raise InvariantViolation(
            ledger.height,
            f"account 0x{owner.hex()}, equity when liquidated",
            risk.equity + doubt,
            f"less than {risk.maintenance - doubt}",
            "I6",
        )


def _get_gain(before: Ledger, after: Ledger, address: Address) -> int:
    return get_account(after, address).balance - get_account(before, address).balance
