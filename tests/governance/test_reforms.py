"""What the council changes of the chain itself: each kind on a whole chain, and a twin that agrees.

Windows (X3), settlements (X5), the council, the validators, parameters, reporters, new markets. A
block goes by what its parent's state says: a change counts from the next block on.
"""

from typing import Any

import pytest

from node.chain.block import Block
from node.errors import BodyMismatch
from node.governance.action import (
    AcknowledgeJump,
    Bracket,
    CancelOrders,
    ChangeCouncil,
    ChangeValidators,
    Halt,
    ListMarket,
    NewMarket,
    Resume,
    ScheduleMaintenance,
    SetBrackets,
    SetMode,
    SetParameter,
    SetReporters,
    SettleMarket,
)
from node.governance.validators import Validator
from node.perp.invariants import check_all
from node.perp.parameters import MarketParams
from node.perp.status import Mode
from node.system.governance import get_audit_entries
from node.units import Height, MarketId, TimeMs
from tests.governance.test_chain import PRICE, CouncilChain
from tests.helpers.chain import BTC, Person
from tests.helpers.council import MEMBERS, make, sign_action

ETH = MarketId(2)
SOL = MarketId(7)
"""No genesis market's id."""


@pytest.fixture
def chain() -> CouncilChain:
    made = CouncilChain()
    made.open_market(PRICE)
    return made


def require_sound(chain: CouncilChain) -> None:
    """Sweep the whole state, and let a twin execute every block."""
    check_all(chain.ledger)
    twin = CouncilChain()
    for height in range(1, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        twin.blockchain.import_block(block)
    assert twin.head.hash == chain.head.hash


def refusal_of(chain: CouncilChain, action: Any) -> str:
    """Return why no block carries an action, and as a transaction it reverts."""
    with pytest.raises(BodyMismatch) as caught:
        chain.govern(action)
    chain.time_ms -= 100  # type: ignore[assignment]  # no block was made
    return str(caught.value)


def result_of(chain: CouncilChain) -> int:
    log = chain.ledger.audit_log
    return get_audit_entries(chain.ledger, log.length - 1, 1)[0].result


# --- X3 -------------------------------------------------------------------------------------------


def test_a_maintenance_window_walks_to_halted_and_back_to_open_x3(chain: CouncilChain) -> None:
    now = chain.head.header.number
    end_ms = chain.time_ms + 5_000
    window = make(ScheduleMaintenance, start_height=now + 3, halt_height=now + 5, end_ms=end_ms)

    chain.govern(window, transactions=chain.reports(PRICE))

    assert result_of(chain) == now + 5
    seen = [chain.mode()]
    while chain.mode() != Mode.HALTED:
        chain.seal(*chain.reports(PRICE))
        seen.append(chain.mode())
    closed = Mode.CANCEL_ONLY
    assert seen == [Mode.OPEN, Mode.OPEN, closed, closed, Mode.HALTED]
    with pytest.raises(BodyMismatch, match="council actions alone"):
        chain.seal()
    chain.time_ms = TimeMs(end_ms)
    chain.seal(elapsed_ms=0)
    assert (chain.mode(), chain.ledger.maintenance) == (closed, None)
    for _ in range(30):
        chain.seal(*chain.reports(PRICE))
    assert chain.mode() == chain.mode(BTC) == Mode.OPEN
    require_sound(chain)


def test_the_block_that_ends_a_window_carries_nobodys_transactions_x3(chain: CouncilChain) -> None:
    now, end_ms = chain.head.header.number, chain.time_ms + 5_000
    chain.govern(
        make(ScheduleMaintenance, start_height=now + 2, halt_height=now + 3, end_ms=end_ms)
    )
    while chain.mode() != Mode.HALTED:
        chain.seal()
    chain.time_ms = TimeMs(end_ms)

    with pytest.raises(BodyMismatch, match="council actions alone"):
        chain.seal(*chain.reports(PRICE), elapsed_ms=0)


def test_a_window_may_be_moved_called_off_and_not_be_in_the_past_x3(chain: CouncilChain) -> None:
    now, end_ms = chain.head.header.number, chain.time_ms + 5_000
    nothing = make(ScheduleMaintenance, start_height=0, halt_height=0, end_ms=0)
    assert "InvalidMaintenance" in refusal_of(chain, nothing)
    past = make(ScheduleMaintenance, start_height=now, halt_height=now + 5, end_ms=end_ms)
    assert "HaltHeightPassed" in refusal_of(chain, past)
    window = make(ScheduleMaintenance, start_height=now + 3, halt_height=now + 5, end_ms=end_ms)
    chain.govern(window)
    chain.govern(nothing)
    assert chain.ledger.maintenance is None

    chain.govern(
        make(ScheduleMaintenance, start_height=now + 4, halt_height=now + 9, end_ms=end_ms)
    )
    chain.seal()
    chain.govern(
        make(ScheduleMaintenance, start_height=now + 4, halt_height=now + 9, end_ms=end_ms + 900)
    )

    assert chain.ledger.maintenance == (now + 4, now + 9, end_ms + 900), "its end alone may move"
    late = make(ScheduleMaintenance, start_height=now + 8, halt_height=now + 9, end_ms=end_ms)
    assert "InvalidMaintenance" in refusal_of(chain, late)
    again = make(ScheduleMaintenance, start_height=0, halt_height=0, end_ms=0, reason="again")
    assert "InvalidMaintenance" in refusal_of(chain, again), "it has begun"


# --- X5: settlement -------------------------------------------------------------------------------


def trade(chain: CouncilChain, size: int = 10) -> Block:
    return chain.seal(
        *chain.reports(PRICE),
        chain.seller.order(-2 * size, PRICE),
        chain.buyer.order(size, PRICE),
    )


@pytest.mark.parametrize("is_halted", [False, True])
def test_a_settled_market_pays_everybody_at_one_price_and_stays_closed_x5(
    chain: CouncilChain, is_halted: bool
) -> None:
    trade(chain)
    if is_halted:
        chain.govern(make(Halt, height=0))
    before = {who.address: chain.balance(who.address) for who in (chain.buyer, chain.seller)}
    price = PRICE * 102 // 100

    chain.govern(make(SettleMarket, market=BTC, price=price, beyond_max_move=False))

    value = 10 * price * chain.ledger.market_params(BTC).k
    assert result_of(chain) == 2
    assert abs(chain.balance(chain.buyer.address) - before[chain.buyer.address] - value) < 10**6
    assert chain.ledger.closures.get(BTC).price == price
    assert chain.ledger.positions.get((chain.buyer.address, BTC)) is None
    assert not chain.ledger.book(BTC).orders
    if is_halted:
        chain.govern(make(Resume))
    for _ in range(10):
        chain.seal(*chain.reports(PRICE, ETH))
    assert chain.mode(BTC) == Mode.HALTED
    assert "MarketClosed" in refusal_of(chain, make(SetMode, market=BTC, mode=Mode.OPEN))
    require_sound(chain)


def test_a_price_beyond_max_move_must_be_named_as_such_x5(chain: CouncilChain) -> None:
    trade(chain)
    price = PRICE * 2

    far = make(SettleMarket, market=BTC, price=price, beyond_max_move=False)
    assert "SettlementPriceTooFar" in refusal_of(chain, far)
    for bad in (0, -5):
        wrong = make(SettleMarket, market=BTC, price=bad, beyond_max_move=True)
        assert "InvalidPrice" in refusal_of(chain, wrong)
    nowhere = make(SettleMarket, market=SOL, price=price, beyond_max_move=True)
    assert "MarketNotFound" in refusal_of(chain, nowhere)

    chain.govern(make(SettleMarket, market=BTC, price=price, beyond_max_move=True))
    again = make(SettleMarket, market=BTC, price=price, beyond_max_move=True, reason="again")
    assert "MarketClosed" in refusal_of(chain, again)
    require_sound(chain)


def test_a_market_may_be_settled_at_the_price_that_was_just_acknowledged_x5_p2(
    chain: CouncilChain,
) -> None:
    trade(chain)
    high = PRICE * 3 // 2
    chain.seal(*chain.reports(high))

    chain.govern(
        make(AcknowledgeJump, market=BTC, price=high),
        make(SettleMarket, market=BTC, price=high, beyond_max_move=False),
    )

    assert chain.ledger.oracles.get(BTC).price == chain.ledger.closures.get(BTC).price == high
    require_sound(chain)


def test_a_settlement_that_ruins_somebody_leaves_the_rest_to_l6(chain: CouncilChain) -> None:
    trade(chain, size=20_000)

    chain.govern(
        make(SettleMarket, market=BTC, price=PRICE * 4, beyond_max_move=True),
        transactions=chain.reports(PRICE),
    )

    assert chain.balance(chain.seller.address) == 0
    require_sound(chain)


# --- the council ----------------------------------------------------------------------------------

NEW_MEMBERS = [Person(f"new-member-{number}") for number in range(1, 4)]


def people(persons: list[Person]) -> tuple[Any, ...]:
    return tuple(sorted(person.address for person in persons))


def test_a_changed_council_governs_from_the_next_block_on(chain: CouncilChain) -> None:
    change = make(ChangeCouncil, members=people(NEW_MEMBERS), threshold=2)
    last = make(CancelOrders, filter=0)

    chain.govern(change, last)

    assert chain.ledger.council == (people(NEW_MEMBERS), 2), "and the old one had its last word"
    assert "UnknownSigner" in refusal_of(chain, make(Halt, height=0))
    halt = make(Halt, height=0, reason="by the new ones")
    data = chain.submission(halt, NEW_MEMBERS[:2])
    chain.seal(
        chain.buyer.send(chain.blockchain.head.block.transactions[0].to, data, gas_limit=10**6)
    )
    assert chain.mode() == Mode.HALTED
    require_sound(chain)


@pytest.mark.parametrize(
    ("members", "threshold", "reason"),
    [
        (people(NEW_MEMBERS), 1, "threshold is 1, must be more than half of 3"),
        (people(NEW_MEMBERS), 4, "threshold is 4"),
        ((), 0, "members are 0"),
        (people(NEW_MEMBERS)[::-1], 2, "must be sorted and different"),
        (people(NEW_MEMBERS)[:1] * 2, 2, "must be sorted and different"),
        ((bytes(18) + b"\x10\x02",), 1, "SystemAddress"),
    ],
)
def test_a_council_that_could_not_decide_is_refused(
    chain: CouncilChain, members: Any, threshold: int, reason: str
) -> None:
    change = make(ChangeCouncil, members=members, threshold=threshold)

    assert reason in refusal_of(chain, change)
    assert chain.ledger.council.threshold == 3


# --- parameters -----------------------------------------------------------------------------------


def test_a_parameter_counts_from_the_next_block_on(chain: CouncilChain) -> None:
    before = chain.ledger.market_params(BTC)
    least = PRICE * before.k * 20
    action = make(SetParameter, market=BTC, name="order_value_min", value=least)
    small = chain.buyer.order(10, PRICE - 10)

    chain.govern(action, transactions=[*chain.reports(PRICE), small])

    assert result_of(chain) == before.order_value_min
    assert chain.receipts[-1].status == 1, "its own block goes by the old one"
    assert chain.ledger.market_params(BTC) == before._replace(order_value_min=least)
    chain.seal(*chain.reports(PRICE), chain.buyer.order(10, PRICE - 10))
    assert chain.receipts[-1].status == 0
    chain.seal(*chain.reports(PRICE), chain.buyer.order(30, PRICE - 10))
    assert chain.receipts[-1].status == 1
    require_sound(chain)


def test_chain_parameters_are_set_by_name_and_true_is_1(chain: CouncilChain) -> None:
    chain.govern(
        make(SetParameter, market=0, name="grace_ms", value=1_234),
        make(SetParameter, market=0, name="reopen_needs_book", value=1),
        make(SetParameter, market=0, name="gap_ms_max", value=200),
    )
    assert chain.ledger.params.grace_ms == 1_234
    assert chain.ledger.params.reopen_needs_book is True

    chain.seal(*chain.reports(PRICE, elapsed_ms=201), elapsed_ms=201)

    assert chain.mode() == Mode.CANCEL_ONLY, "a gap by the new limit"
    require_sound(chain)


@pytest.mark.parametrize(
    ("market", "name", "value", "reason"),
    [
        (BTC, "no_such_thing", 1, "NoSuchParameter"),
        (BTC, "__class__", 1, "NoSuchParameter"),
        (BTC, "symbol", 1, "NoSuchParameter"),
        (BTC, "brackets", 1, "NoSuchParameter"),
        (BTC, "k", 10, "NoSuchParameter"),
        (BTC, "lot_decimals", 1, "NoSuchParameter"),
        (BTC, "grace_ms", 1, "NoSuchParameter"),
        (0, "reporters", 1, "NoSuchParameter"),
        (0, "taker_fee_ppm", 1, "NoSuchParameter"),
        (0, "reopen_needs_book", 2, "must be 0 or 1"),
        (0, "gap_ms_max", 0, "gap_ms_max is 0, must be 1 to"),
        (0, "reporter_quorum", 4, "reporter_quorum is 4, must be 1 to the number of reporters, 3"),
        (BTC, "maintenance_ppm", 1_000_000, "maintenance_ppm is 1000000, must be 1 to 999999"),
        (BTC, "maker_fee_ppm", -1_000_000, "maker_fee_ppm is -1000000, must be a fee, or a rebate"),
        (BTC, "mark_band_ppm", 999_999, "mark_band_ppm is 999999, must be 0 to"),
        (SOL, "taker_fee_ppm", 1, "MarketNotFound"),
    ],
)
def test_what_genesis_would_refuse_the_council_can_not_set(
    chain: CouncilChain, market: MarketId, name: str, value: int, reason: str
) -> None:
    action = make(SetParameter, market=market, name=name, value=value)

    assert reason in refusal_of(chain, action)


def test_a_smaller_cap_takes_the_rate_along_and_the_chain_goes_on(chain: CouncilChain) -> None:
    rate = chain.ledger.fundings.get(BTC).rate_ppb
    assert rate != 0

    chain.govern(
        make(SetParameter, market=BTC, name="funding_clamp_factor_ppm", value=0),
        transactions=chain.reports(PRICE),
    )

    assert chain.ledger.fundings.get(BTC).rate_ppb == 0
    for _ in range(3):
        chain.seal(*chain.reports(PRICE))
    require_sound(chain)


def test_dearer_margin_liquidates_from_the_next_block_on_g1_l1(chain: CouncilChain) -> None:
    trade(chain, size=45_000)
    chain.seal(*chain.reports(PRICE), chain.seller.order(1_000, PRICE - 5, reduce_only=True))
    size = chain.ledger.positions.get((chain.buyer.address, BTC)).size
    brackets = (Bracket(0, 1_000_000),)  # type: ignore[arg-type]

    chain.govern(
        make(SetBrackets, market=BTC, brackets=brackets), transactions=chain.reports(PRICE)
    )
    assert result_of(chain) == 1
    assert chain.ledger.positions.get((chain.buyer.address, BTC)).size == size

    chain.seal(*chain.reports(PRICE))

    moved = chain.ledger.positions.get((chain.buyer.address, BTC))
    assert moved is None or moved.size < size
    require_sound(chain)
    bad = make(SetBrackets, market=BTC, brackets=())
    assert "must hold at least one bracket" in refusal_of(chain, bad)


def test_others_report_from_the_next_block_on_p1(chain: CouncilChain) -> None:
    old = sorted(chain.reporters, key=lambda each: each.address)
    new = [Person(f"buyer-{number}") for number in range(3)]
    everybody = people([*old[:1], *new])

    chain.govern(
        make(SetReporters, reporters=everybody, quorum=1), transactions=chain.reports(PRICE)
    )

    assert chain.ledger.params.reporters == everybody
    chain.reporters = old
    chain.seal(*chain.reports(PRICE)[:2])
    assert [receipt.status for receipt in chain.receipts] == [1, 0]
    assert chain.ledger.oracles.get(BTC).stale is False
    assert chain.ledger.reports.get((BTC, old[1].address)) is not None
    chain.govern(make(SetReporters, reporters=people(old), quorum=1))
    assert chain.ledger.reports.get((BTC, old[1].address)) is None, "who comes back begins anew"
    assert chain.ledger.reports.get((BTC, old[0].address)) is not None
    require_sound(chain)
    for reporters, quorum, reason in (
        (everybody[::-1], 1, "must be sorted and different"),
        ((), 0, "reporter_quorum is 0"),
        (everybody, 5, "reporter_quorum is 5"),
        ((bytes(20),), 1, "SystemAddress"),
    ):
        bad = make(SetReporters, reporters=reporters, quorum=quorum)
        assert reason in refusal_of(chain, bad)


# --- X5: a new market -----------------------------------------------------------------------------


def new_market(params: MarketParams, **changes: Any) -> NewMarket:
    brackets = tuple(Bracket(*each) for each in params.brackets)
    return NewMarket(**(params._asdict() | {"symbol": "SOL-USD", "brackets": brackets} | changes))


def test_a_new_market_is_born_traded_in_and_settled_x5(chain: CouncilChain) -> None:
    params = new_market(chain.ledger.market_params(BTC))

    chain.govern(make(ListMarket, market=SOL, params=params), transactions=chain.reports(PRICE))

    assert result_of(chain) == SOL
    assert list(chain.ledger.market_ids) == [BTC, ETH, SOL]
    assert chain.mode(SOL) == Mode.CANCEL_ONLY
    seen = [chain.mode(SOL)]
    for _ in range(40):
        chain.seal(*chain.reports(PRICE), *chain.reports(PRICE, SOL))
        if chain.mode(SOL) != seen[-1]:
            seen.append(chain.mode(SOL))
    assert seen == [Mode.CANCEL_ONLY, Mode.POST_ONLY, Mode.OPEN]
    chain.seal(
        *chain.reports(PRICE, SOL),
        chain.seller.order(-10, PRICE, market=SOL),
        chain.buyer.order(10, PRICE, market=SOL),
    )
    assert chain.ledger.positions.get((chain.buyer.address, SOL)).size == 10
    require_sound(chain)

    chain.govern(make(SettleMarket, market=SOL, price=PRICE, beyond_max_move=False))

    assert chain.ledger.positions.get((chain.buyer.address, SOL)) is None
    chain.govern(make(ListMarket, market=MarketId(8), params=params))  # its symbol is free again
    chain.seal()
    require_sound(chain)


def test_in_its_own_block_a_new_market_is_nothing_yet_x5(chain: CouncilChain) -> None:
    params = new_market(chain.ledger.market_params(BTC))
    early = chain.buyer.order(10, PRICE, market=SOL)

    chain.govern(make(ListMarket, market=SOL, params=params), transactions=[early])

    assert chain.receipts[-1].status == 0
    require_sound(chain)


@pytest.mark.parametrize(
    ("market", "changes", "reason"),
    [
        (BTC, {}, "MarketExists"),
        (0, {}, "id is 0, must be 1 to"),
        (0xFFFF, {}, "id is 65535, must be 1 to"),
        (SOL, {"symbol": "BTC-USD"}, "symbol 'BTC-USD' is market 1's"),
        (SOL, {"symbol": ""}, "must be 1 to 32 printable ASCII characters"),
        (SOL, {"k": 3}, "k is 3, must be 10^"),
        (SOL, {"maintenance_ppm": 0}, "maintenance_ppm is 0"),
        (SOL, {"brackets": ()}, "must hold at least one bracket"),
    ],
)
def test_a_market_that_genesis_could_not_have_is_not_listed(
    chain: CouncilChain, market: MarketId, changes: Any, reason: str
) -> None:
    params = new_market(chain.ledger.market_params(BTC), **changes)

    assert reason in refusal_of(chain, make(ListMarket, market=market, params=params))


# --- the validators -------------------------------------------------------------------------------


def test_a_chain_without_a_sequencers_key_can_have_no_validators(chain: CouncilChain) -> None:
    some = (Validator(b"\x01" * 32, 5),)

    assert 'sequencer: was ""' in refusal_of(chain, make(ChangeValidators, validators=some))
    assert "is empty" in refusal_of(chain, make(ChangeValidators, validators=()))


def test_actions_of_one_block_build_on_each_other(chain: CouncilChain) -> None:
    params = new_market(chain.ledger.market_params(BTC))
    again = make(ListMarket, market=SOL, params=params, reason="again")
    chain.govern(
        make(SetParameter, market=BTC, name="position_max", value=5),
        make(SetParameter, market=BTC, name="open_interest_max", value=6),
        make(ListMarket, market=SOL, params=params),
    )

    found = chain.ledger.market_params(BTC)
    assert (found.position_max, found.open_interest_max) == (5, 6)
    assert "MarketExists" in refusal_of(chain, again)
    assert sign_action(again, chain.domain, MEMBERS[:3])
