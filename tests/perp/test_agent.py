"""Agents and own leverage (M4): who may trade for whom, until when, with which margin."""

import pytest

from node.errors import (
    AgentNotAuthorized,
    InsufficientBalance,
    InsufficientMargin,
    InvalidAgent,
    InvalidExpiry,
    InvalidMarginFraction,
    MarketNotFound,
    TooManyAgents,
)
from node.perp.account import OwnMargin, get_account, process_withdrawal
from node.perp.agent import (
    AGENTS_MAX,
    AgentGrant,
    get_agents,
    process_authorization,
    process_revocation,
    require_agent,
)
from node.perp.events import AgentAuthorized, AgentRevoked, OwnMarginSet
from node.perp.leverage import process_own_margin
from node.perp.margin import compute_oi_margin, compute_risk
from node.perp.order import TimeInForce
from node.perp.trading import process_order
from node.units import Address, MarketId, Quote, RatePpm, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    deposit,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    trader,
)

OWNER, AGENT, OTHER = trader(1), trader(2), trader(3)


# --- agents ---------------------------------------------------------------------------------------


def authorize(ledger: DictLedger, agent: Address, after_ms: int) -> TimeMs:
    expires_ms = TimeMs(ledger.time_ms + after_ms)
    process_authorization(ledger, OWNER, agent, expires_ms)
    return expires_ms


def test_an_agent_may_act_until_its_time_is_over_m4() -> None:
    ledger = make_ledger()
    expires_ms = authorize(ledger, AGENT, 2_000)
    assert ledger.events == [AgentAuthorized(OWNER, AGENT, expires_ms)]

    require_agent(ledger, OWNER, AGENT)
    for owner, agent in ((OWNER, OTHER), (OTHER, AGENT), (AGENT, OWNER), (OWNER, OWNER)):
        with pytest.raises(AgentNotAuthorized):
            require_agent(ledger, owner, agent)
    next_block(ledger, 1_999)
    require_agent(ledger, OWNER, AGENT)
    next_block(ledger, 1)

    with pytest.raises(AgentNotAuthorized) as refusal:
        require_agent(ledger, OWNER, AGENT)
    assert (refusal.value.account, refusal.value.agent) == (OWNER, AGENT)


def test_leave_is_renewed_and_taken_back_m4() -> None:
    ledger = make_ledger()
    authorize(ledger, OTHER, 1_000)
    authorize(ledger, AGENT, 1_000)
    later = authorize(ledger, AGENT, 5_000)
    assert get_agents(ledger, OWNER).grants[0] == AgentGrant(AGENT, later)
    assert len(get_agents(ledger, OWNER).grants) == 2

    process_revocation(ledger, OWNER, AGENT)

    assert ledger.events[-1] == AgentRevoked(OWNER, AGENT)
    for address in (AGENT, trader(9)):
        with pytest.raises(AgentNotAuthorized):
            process_revocation(ledger, OWNER, address)
    process_revocation(ledger, OWNER, OTHER)
    assert ledger.agents.get(OWNER) is None


@pytest.mark.parametrize("agent", [OWNER, Address(bytes(20)), Address(b"\0" * 18 + b"\x10\x02")])
def test_neither_oneself_nor_the_system_is_an_agent_m4(agent: Address) -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidAgent):
        authorize(ledger, agent, 1_000)

    assert ledger.agents.get(OWNER) is None


def test_leave_lies_ahead_m4() -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidExpiry):
        authorize(ledger, AGENT, 0)
    authorize(ledger, AGENT, 1)


def test_expired_agents_make_room_m4() -> None:
    ledger = make_ledger()
    authorize(ledger, trader(100), 1_000)
    for number in range(101, 100 + AGENTS_MAX):
        authorize(ledger, trader(number), 9_000)
    with pytest.raises(TooManyAgents) as refusal:
        authorize(ledger, AGENT, 9_000)
    assert refusal.value.maximum == AGENTS_MAX
    authorize(ledger, trader(101), 9_000)  # a renewal takes no more

    next_block(ledger)
    authorize(ledger, AGENT, 9_000)

    agents = [grant.agent for grant in get_agents(ledger, OWNER).grants]
    assert agents == sorted(agents)
    assert trader(100) not in agents


# --- own leverage ---------------------------------------------------------------------------------


def traded(amount: int = 1_000) -> DictLedger:
    """Return a ledger where OWNER, with so much, is long 10 at 100: IM 10 % = 100, MM 50."""
    ledger = make_ledger()
    make_trader(ledger, 1, amount)
    make_trader(ledger, 2, 1_000_000)
    process_order(ledger, AGENT, order(-10, 100))
    process_order(ledger, OWNER, order(10, 100))
    next_block(ledger)
    return ledger


def set_fraction(ledger: DictLedger, ppm: int) -> None:
    process_own_margin(ledger, OWNER, MARKET, RatePpm(ppm))


def test_the_larger_fraction_holds_m4() -> None:
    for ppm, initial in ((50_000, 100), (100_000, 100), (250_000, 250), (1_000_000, 1_000)):
        ledger = traded()
        set_fraction(ledger, ppm)
        risk = compute_risk(ledger, OWNER)
        assert (risk.initial, risk.maintenance) == (initial, 50)  # MM does not look at it
        assert ledger.events == [OwnMarginSet(MARKET, OWNER, RatePpm(ppm))]


def test_orders_reserve_with_it_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 200_000)  # 200 of 300 are used: 5 more lots at 100 fit

    with pytest.raises(InsufficientMargin) as refusal:
        process_order(ledger, OWNER, order(6, 100))
    process_order(ledger, OWNER, order(5, 100))

    assert (refusal.value.equity, refusal.value.required) == (300, 320)


def test_fills_and_withdrawals_look_at_it_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 200_000)
    process_order(ledger, AGENT, order(-6, 100))

    with pytest.raises(InsufficientMargin):
        process_order(ledger, OWNER, order(6, 100, time_in_force=TimeInForce.IOC))
    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, OWNER, Quote(101))

    assert refusal.value.available == 100


def test_it_is_each_markets_own_and_can_be_taken_back_m4() -> None:
    ledger = traded()
    second = make_market(ledger)
    process_own_margin(ledger, OWNER, second, RatePpm(300_000))
    set_fraction(ledger, 200_000)
    assert get_account(ledger, OWNER).own_margins == (
        OwnMargin(MARKET, RatePpm(200_000)),
        OwnMargin(second, RatePpm(300_000)),
    )
    assert compute_risk(ledger, OWNER).initial == 200

    set_fraction(ledger, 0)

    assert get_account(ledger, OWNER).own_margins == (OwnMargin(second, RatePpm(300_000)),)
    assert compute_risk(ledger, OWNER).initial == 100
    deposit(ledger, OWNER, 5)
    assert len(get_account(ledger, OWNER).own_margins) == 1  # money moves nothing else


def test_what_equity_does_not_carry_is_refused_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 300_000)
    before = ledger.dump()

    with pytest.raises(InsufficientMargin) as refusal:
        set_fraction(ledger, 300_001)

    assert (refusal.value.equity, refusal.value.required) == (300, 301)
    assert ledger.dump() == before
    # Below its margin an account may still lower the fraction, or set what moves nothing.
    process_withdrawal_by_hand(ledger, 100)
    set_fraction(ledger, 250_000)
    process_own_margin(ledger, OWNER, make_market(ledger), RatePpm(500_000))


def process_withdrawal_by_hand(ledger: DictLedger, amount: int) -> None:
    """Take money from the owner as a loss would."""
    deposit(ledger, OWNER, -amount)


def test_setting_what_is_set_says_nothing_m4() -> None:
    ledger = traded()
    set_fraction(ledger, 0)
    set_fraction(ledger, 200_000)
    set_fraction(ledger, 200_000)

    assert len(ledger.events) == 1


@pytest.mark.parametrize("ppm", [-1, 1_000_001])
def test_a_fraction_is_one_m4(ppm: int) -> None:
    ledger = traded()

    with pytest.raises(InvalidMarginFraction):
        set_fraction(ledger, ppm)
    with pytest.raises(MarketNotFound):
        process_own_margin(ledger, OWNER, MarketId(9), RatePpm(1))


def test_open_interest_adds_only_what_is_beyond_the_own_fraction_m4_g1() -> None:
    # OI 10 · 100 = 1,000; lower 500, upper 1,500: the scaled fraction is 10 % + 90 %/2 = 55 %.
    ledger = traded(10_000)
    params = ledger.all_market_params
    params[MARKET] = params[MARKET]._replace(oi_lower_cap=Quote(500), oi_upper_cap=Quote(1_500))
    for ppm, added in ((0, 450), (200_000, 350), (550_000, 0), (700_000, 0)):
        set_fraction(ledger, ppm)
        assert compute_oi_margin(ledger, OWNER, MARKET) == added
