"""What a range was worth to each account, as it was and as it should have been, to the atom.

Both ends are valued at the counterfactual's marks, so that no difference is a price's. What an
account withdrew in one of the two and not in the other counts as its own, what it deposited
against it. A market's FundingPool is shown less what it owes to positions, which count that
already: what is left of it is the dust. So every column of money sums to zero, and what an account
lost another one has: the vault, Fees, Deficit, a counterparty.

A state whose balances do not sum to zero, because a lie made money, has one row more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from node.audit.corrections import Corrections, require_within
from node.audit.counterfactual import Base, Replay
from node.audit.evidence import Comparison, Differences, Evidence, Happened, owners_of
from node.chain.ancestry import Ancestry
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.derived import Derived
from node.chain.ledger import Moment, StateLedger
from node.chain.transition import compare_transitions
from node.crypto import checksum_address
from node.errors import MissingState, OperatorError, show
from node.perp.account import (
    BRIDGE,
    DEFICIT,
    FEES,
    RECEIVABLE,
    REFUNDS,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    get_account,
    market_address,
)
from node.perp.events import (
    Deposited,
    Event,
    FundingSettled,
    OrderFilled,
    PositionDeleveraged,
    PositionLiquidated,
    PositionTakenOver,
    Withdrawn,
)
from node.perp.funding import compute_pending, get_funding
from node.perp.mark import get_mark
from node.units import (
    PPB,
    Address,
    Hash32,
    Height,
    MarketId,
    Quote,
    Ticks,
    TimeMs,
    div_floor,
    notional,
)

Progress = Callable[[Height, Height], None]
"""Called with each height that was replayed, and the last."""
_NAMES: Final = {
    VAULT: "LiquidatorVault",
    BRIDGE: "Bridge",
    FEES: "Fees",
    DEFICIT: "Deficit",
    RECEIVABLE: "Receivable",
    REFUNDS: "Refunds",
}
OUT_OF_NOTHING: Final = "out of nothing"
"""The row that stands for what a state's balances lack to zero (I1)."""


class Counts(NamedTuple):
    """How often something happened that should not have, and how often it should have instead."""

    undone: int
    added: int


class Row(NamedTuple):
    """One account; amounts in atoms."""

    account: Address | None
    """None: no account's, see `name`."""
    name: str
    """What a system account is called; empty for a person's."""
    equity_was: Quote
    equity_should: Quote
    withdrawn_was: Quote
    """Withdrawals less deposits, those that differ."""
    withdrawn_should: Quote
    loss: Quote
    """What should have been less what was; negative: a gain."""
    funding: Quote
    """The part of the loss that is funding, paid or pending (F4)."""
    liquidations: Counts
    """Fills and take-overs of stages 1 and 2 (L2, L3)."""
    deleveragings: Counts
    """As whom the market left, or as counterparty (L4)."""
    fills: Counts

    @property
    def differs(self) -> bool:
        """Whether anything is not as it should have been."""
        counts = (*self.liquidations, *self.deleveragings, *self.fills)
        moved = self.withdrawn_was != self.withdrawn_should
        return bool(self.loss or self.funding or moved or any(counts))

    @property
    def is_person(self) -> bool:
        """Whether somebody may be owed something."""
        return self.account is not None and self.account > SYSTEM_ADDRESS_MAX


class Statement(NamedTuple):
    """Both ends of a range beside each other."""

    marks: Mapping[MarketId, Ticks]
    """The counterfactual's, at which both are valued."""
    rows: tuple[Row, ...]
    """Those that differ, and every system account; by account."""
    others: int
    """How many accounts do not differ."""
    others_equity: Quote
    """Their sum, the same on both sides."""


class Audit(NamedTuple):
    """What an audit found."""

    base: Base
    first: Height
    last: Block
    corrections: Corrections
    state_root: Hash32
    """After the last block as it should have been."""
    first_difference: str
    """The first transition that differs, as a dispute says it; empty: none does."""
    evidence: tuple[Evidence, ...]
    """By account, then as it happened."""
    statement: Statement


def audit(
    blockchain: Blockchain,
    first: Height,
    last: Block,
    corrections: Corrections,
    on_progress: Progress = lambda height, last: None,
) -> Audit:
    """Replay the blocks from `first` to `last` on the branch of `last`, and compare.

    Nothing is written. Raises OperatorError kinds: a block or state that is not kept, corrections
    that are not of the range, a block that can't be.
    """
    require_within(corrections, first, last.header.number)
    ancestry = Ancestry(blockchain.store, blockchain.store.kv, last)
    base = _find_base(ancestry, first, last)
    try:
        replay = Replay(blockchain, base, corrections)
        state = blockchain.states.at(last.header.state_root)
    except MissingState as missing:
        raise OperatorError(
            f"{missing}: choose another range, or the data directory of a node that keeps it"
        ) from None
    tallies: defaultdict[Address, _Tally] = defaultdict(_Tally)
    evidence: list[Evidence] = []
    comparison = Comparison(corrections.left_out)
    first_difference = ""
    for height in range(first, last.header.number + 1):
        block = _load(blockchain, ancestry, Height(height))
        receipts = blockchain.store.load_receipts(block.hash)
        assert receipts is not None, "receipts are written with their block"
        replayed = replay.replay(block)
        found = comparison.compare(block, receipts, replayed)
        _count(tallies, found)
        evidence += found.evidence
        first_difference = first_difference or _describe_first(block, replayed.applied.transitions)
        on_progress(Height(height), last.header.number)
    replay.require_used()
    time_ms = last.extension.time_ms
    moment = Moment(Height(last.header.number + 1), TimeMs(time_ms + 1), time_ms)
    was = StateLedger(
        state,
        Derived(state, {}, None),
        moment,
        blockchain.genesis.chain_id,
        blockchain.genesis_hash,
    )
    should = replay.ledger()
    statement = compute_statement(was, should, tallies)
    ends = _describe_ends(statement, was, should, last.header.number)
    return Audit(
        base,
        first,
        last,
        corrections,
        replay.compute_root(),
        first_difference,
        tuple(sorted([*evidence, *ends], key=lambda each: (each.account or b"", each.height))),
        statement,
    )


def find_name(account: Address) -> str:
    """Return what a system account is called; empty for a person's."""
    if account > SYSTEM_ADDRESS_MAX:
        return ""
    market = int.from_bytes(account, "big") - int.from_bytes(market_address(MarketId(0)), "big")
    if market > 0:
        return f"FundingPool of market {market}, less what it owes"
    return _NAMES.get(account, checksum_address(account))


# --- both ends ------------------------------------------------------------------------------------


def compute_statement(
    was: StateLedger, should: StateLedger, tallies: Mapping[Address, _Tally]
) -> Statement:
    """Value every account of both states at the marks of the second."""
    marks = {market: get_mark(was, market) for market in was.market_ids}
    marks |= {market: get_mark(should, market) for market in should.market_ids}
    before, after = compute_worths(was, marks), compute_worths(should, marks)
    rows: list[Row] = []
    others = others_equity = 0
    for account in sorted(before.keys() | after.keys() | tallies.keys()):
        row = _make_row(
            account,
            before.get(account, NOTHING),
            after.get(account, NOTHING),
            tallies.get(account, _Tally()),
        )
        if row.name or row.differs:
            rows.append(row)
        else:
            others += 1
            others_equity += row.equity_was
    rows += _make_remainder(before, after)
    assert sum(row.loss for row in rows) == 0, "what one lost another has"
    return Statement(marks, tuple(rows), others, Quote(others_equity))


class Worth(NamedTuple):
    """What an account is worth."""

    equity: Quote
    pending: Quote
    """The part of it that is funding not settled yet, floor (F4)."""


NOTHING: Final = Worth(Quote(0), Quote(0))


def compute_worths(ledger: StateLedger, marks: Mapping[MarketId, Ticks]) -> dict[Address, Worth]:
    """Return every account's equity at these marks (M2), a pool's less what it owes (F4).

    They sum to what all balances do, because Σ size = 0 in every market (I2): to zero (I1).
    """
    equities: dict[Address, int] = {
        address: account.balance for address, account in ledger.all_accounts()
    }
    pendings: defaultdict[Address, int] = defaultdict(int)
    for (address, market), position in ledger.all_positions():
        pending = div_floor(compute_pending(get_funding(ledger, market), position), PPB)
        value = notional(position.size, marks[market], ledger.market_params(market).k)
        equities[address] = equities.get(address, 0) + value + pending
        pendings[address] += pending
        pool = market_address(market)
        equities[pool] = equities.get(pool, 0) - pending
    return {
        address: Worth(Quote(equity), Quote(pendings[address]))
        for address, equity in equities.items()
    }


class _Tally:
    """What happened to an account on one side only: [as it was, as it should have been]."""

    __slots__ = ("deleveragings", "fills", "funding", "liquidations", "withdrawn")

    def __init__(self) -> None:
        self.withdrawn = [0, 0]
        self.funding = [0, 0]
        self.liquidations = [0, 0]
        self.deleveragings = [0, 0]
        self.fills = [0, 0]

    def count(self, event: Event, side: int) -> None:
        """Add an event of the account."""
        match event:
            case Withdrawn():
                self.withdrawn[side] += event.amount
            case Deposited():
                self.withdrawn[side] -= event.amount
            case FundingSettled():
                self.funding[side] += event.cash
            case PositionLiquidated() | PositionTakenOver():
                self.liquidations[side] += 1
            case PositionDeleveraged():
                self.deleveragings[side] += 1
            case OrderFilled():
                self.fills[side] += 1
            case _:
                pass  # moves no money of its own


def _count(tallies: defaultdict[Address, _Tally], found: Differences) -> None:
    sides: tuple[Sequence[Happened], ...] = (found.was, found.should)
    for side, happened in enumerate(sides):
        for each in happened:
            for account in dict.fromkeys(owners_of(each.event)):
                tallies[account].count(each.event, side)
            if isinstance(each.event, Deposited | Withdrawn):
                mirrored = each.event._replace(amount=Quote(-each.event.amount))
                tallies[BRIDGE].count(mirrored, side)


def _make_row(account: Address, was: Worth, should: Worth, tally: _Tally) -> Row:
    name = find_name(account)
    loss = should.equity + tally.withdrawn[1] - was.equity - tally.withdrawn[0]
    funding = should.pending + tally.funding[1] - was.pending - tally.funding[0]
    return Row(
        account=account,
        name=name,
        equity_was=was.equity,
        equity_should=should.equity,
        withdrawn_was=Quote(tally.withdrawn[0]),
        withdrawn_should=Quote(tally.withdrawn[1]),
        loss=Quote(loss),
        funding=Quote(loss if account > FIRST_POOL and name else funding),
        liquidations=Counts(*tally.liquidations),
        deleveragings=Counts(*tally.deleveragings),
        fills=Counts(*tally.fills),
    )


FIRST_POOL: Final = market_address(MarketId(0))
"""Below every market's pool, above every other system account."""


def _make_remainder(before: Mapping[Address, Worth], after: Mapping[Address, Worth]) -> list[Row]:
    """Return the row by which both sides sum to zero; none where they do."""
    was = -sum(each.equity for each in before.values())
    should = -sum(each.equity for each in after.values())
    if was == should == 0:
        return []
    none = Counts(0, 0)
    return [
        Row(
            account=None,
            name=OUT_OF_NOTHING,
            equity_was=Quote(was),
            equity_should=Quote(should),
            withdrawn_was=Quote(0),
            withdrawn_should=Quote(0),
            loss=Quote(should - was),
            funding=Quote(0),
            liquidations=none,
            deleveragings=none,
            fills=none,
        )
    ]


def _describe_ends(
    statement: Statement, was: StateLedger, should: StateLedger, height: Height
) -> list[Evidence]:
    """Return what each account that differs was left with, on both sides."""
    found = []
    for row in statement.rows:
        if row.account is None:
            continue
        left, right = _describe_account(was, row.account), _describe_account(should, row.account)
        if left != right:
            found.append(Evidence(row.account, height, None, "Account", MarketId(0), left, right))
    return found


def _describe_account(ledger: StateLedger, owner: Address) -> str:
    account = get_account(ledger, owner)
    parts = [f"balance {account.balance}"]
    for market in account.markets:
        position = ledger.positions.get((owner, market))
        if position is not None:
            parts.append(
                f"market {market}: size {position.size}, funding_index {position.funding_index}"
            )
    return ", ".join(parts)


# --- the range ------------------------------------------------------------------------------------


def _find_base(ancestry: Ancestry, first: Height, last: Block) -> Base:
    if not 1 <= first <= last.header.number:
        raise OperatorError(
            f"the range from block {first} to {last.header.number} is none: "
            f"FIRST is from 1 to {last.header.number}"
        )
    head = ancestry.head_at(Height(first - 1))
    if head is None:
        raise OperatorError(f"block {first - 1} is not kept here: choose a later FIRST")
    return Base(Height(first - 1), head[0].state_root, head[1])


def _load(blockchain: Blockchain, ancestry: Ancestry, height: Height) -> Block:
    block_hash = ancestry.hash_at(height)
    block = None if block_hash is None else blockchain.store.load_block(block_hash)
    if block is None:
        raise OperatorError(
            f"block {height} is not kept here: choose a later FIRST, or the data directory of a "
            "node that keeps it"
        )
    return block


def _describe_first(block: Block, transitions: Sequence[bytes]) -> str:
    found = compare_transitions(block.transitions, transitions)
    if found is None:
        return ""
    field = found.field.removesuffix("_before")  # as a dispute: it was wrong already
    return (
        f"block {block.header.number}, {field}: "
        f"was {show(found.value)}, should be {show(found.expected)}"
    )
