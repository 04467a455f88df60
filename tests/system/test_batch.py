"""Batches and agents through calldata (O1, O8, M4): each action by itself, each with its result."""

from typing import Any

import pytest

from node.errors import (
    AgentNotAuthorized,
    BatchTooLarge,
    MalformedCalldata,
    NotAnAction,
    OrderNotFound,
    OrderTooSmall,
    PostOnlyWouldCross,
    Refusal,
)
from node.perp.events import ActionResult, BatchExecuted, OrderCancelled, OrderPlaced
from node.perp.order import SelfTrade, TimeInForce, TriggerKind
from node.system.actions import ACTION_NAMES, ACTIONS_MAX, get_actions, is_batch
from node.system.classes import ActionClass, classify
from node.system.contracts import contract
from node.system.gas import ACTION_GAS, CALL_GAS, intrinsic_gas
from node.system.refusal import encode_refusal
from node.units import Address, Lots, MarketId, OrderId, Quote, Ticks
from tests.helpers.ledger import MARKET, make_market, make_market_params, size_of, trader
from tests.helpers.system_ledger import DictSystemLedger, call, give_tokens, make_system_ledger

MAKER, TAKER, AGENT = trader(1), trader(2), trader(3)
GTC, IOC, POST_ONLY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY
EXCHANGE = contract("Exchange")


def action(function: str, *arguments: Any) -> bytes:
    return EXCHANGE.functions[function].encode_call(*arguments)


def exchange(ledger: DictSystemLedger, sender: Address, function: str, *arguments: Any) -> Any:
    return call(ledger, sender, "Exchange", function, *arguments)


def funded(**changes: int) -> DictSystemLedger:
    ledger = make_system_ledger()
    ledger.all_market_params[MARKET] = make_market_params(**changes)
    for account in (MAKER, TAKER):
        give_tokens(ledger, account, 10_000)
        exchange(ledger, account, "deposit", 10_000)
    ledger.events.clear()
    return ledger


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


# --- each action by itself ------------------------------------------------------------------------


def test_each_action_has_its_result_and_a_failing_one_reverts_only_itself_o1() -> None:
    ledger = funded(order_value_min=100)
    too_small = action("placeOrder", MARKET, 1, 99, GTC, False)

    (results,) = exchange(
        ledger,
        TAKER,
        "batch",
        [
            action("placeOrder", MARKET, 5, 90, GTC, False),
            too_small,
            action("cancelOrder", MARKET, 7),
            action("placeOrder", MARKET, -5, 110, POST_ONLY, False),
            action("cancelOrder", MARKET, 1),
        ],
    )

    errors = [
        encode_refusal(OrderTooSmall(Quote(99), Quote(100))),
        encode_refusal(OrderNotFound(MARKET, OrderId(7))),
    ]
    expected = [
        (True, word(1)),
        (False, errors[0]),
        (False, errors[1]),
        (True, word(2)),
        (True, b""),
    ]
    assert [tuple(result) for result in results] == expected
    executed = ledger.events[-1]
    assert executed == BatchExecuted(TAKER, TAKER, tuple(ActionResult(*each) for each in expected))
    placed = [event.order_id for event in ledger.events if isinstance(event, OrderPlaced)]
    assert placed == [1, 2]
    assert [order.id for order in ledger.book(MARKET).orders_of(TAKER)] == [2]


def test_a_batch_is_its_actions_one_by_one_o1() -> None:
    actions: list[tuple[Any, ...]] = [
        ("placeOrder", MARKET, -5, 100, GTC, False),
        ("placeOrderWith", (MARKET, 3, 95, GTC, False, 0, 7, SelfTrade.CANCEL_MAKER)),
        ("amendByClientId", 7, 4, 96),
        ("placeMarketOrder", MARKET, 2, False),
        ("amendOrder", MARKET, 9, 4, 96),
        ("cancelByClientId", 7),
        ("cancelEverything",),
    ]
    together, single = funded(), funded()
    exchange(together, TAKER, "batch", [action(*each) for each in actions])

    for each in actions:
        checkpoint = single.checkpoint()
        try:
            exchange(single, TAKER, *each)
        except Refusal:
            single.revert(checkpoint)

    assert isinstance(together.events.pop(), BatchExecuted)
    assert together.dump() == single.dump()


def test_a_batch_has_at_most_50_actions_o1() -> None:
    ledger = funded()
    cancel = action("cancelAllOrders", MARKET)

    (results,) = exchange(ledger, TAKER, "batch", [cancel] * ACTIONS_MAX)
    with pytest.raises(BatchTooLarge) as refusal:
        exchange(ledger, TAKER, "batch", [cancel] * (ACTIONS_MAX + 1))

    assert len(results) == 50
    assert (refusal.value.count, refusal.value.maximum) == (51, 50)
    assert exchange(ledger, TAKER, "batch", []) == ((),)


def test_only_actions_stand_in_a_batch_m4() -> None:
    ledger = funded()
    others = {
        name: function for name, function in EXCHANGE.functions.items() if name not in ACTION_NAMES
    }
    assert {"deposit", "withdraw", "batch", "batchFor", "authorizeAgent", "setLeverage"} <= set(
        others
    )
    for function in others.values():
        (results,) = exchange(ledger, TAKER, "batch", [function.selector + bytes(320)])
        assert tuple(results[0]) == (False, encode_refusal(NotAnAction(function.selector)))
    (results,) = exchange(ledger, TAKER, "batch", [b"", action("placeOrder", 1, 1, 1, 0, True)[:9]])

    assert tuple(results[0]) == (False, encode_refusal(NotAnAction(b"")))
    selector = EXCHANGE.functions["placeOrder"].selector
    assert tuple(results[1]) == (False, encode_refusal(MalformedCalldata(selector)))


# --- agents ---------------------------------------------------------------------------------------


def test_an_agent_trades_for_whom_authorised_it_m4() -> None:
    ledger = funded()
    exchange(ledger, MAKER, "placeOrder", MARKET, -5, 100, GTC, False)
    expires_ms = ledger.time_ms + 1_000
    exchange(ledger, TAKER, "authorizeAgent", AGENT, expires_ms)
    assert exchange(ledger, TAKER, "getAgents", TAKER) == (((f"0x{AGENT.hex()}", expires_ms),),)

    buy = action("placeOrder", MARKET, 3, 100, IOC, False)
    exchange(ledger, AGENT, "batchFor", TAKER, [buy])

    assert (size_of(ledger, TAKER), size_of(ledger, AGENT)) == (3, 0)
    executed = ledger.events[-1]
    assert isinstance(executed, BatchExecuted)
    assert (executed.account, executed.sender) == (TAKER, AGENT)
    for sender, account in ((AGENT, MAKER), (MAKER, TAKER), (TAKER, TAKER)):
        with pytest.raises(AgentNotAuthorized):
            exchange(ledger, sender, "batchFor", account, [buy])


def test_an_agent_never_withdraws_and_goes_when_told_m4() -> None:
    ledger = funded()
    exchange(ledger, TAKER, "authorizeAgent", AGENT, ledger.time_ms + 1_000)

    (results,) = exchange(ledger, AGENT, "batchFor", TAKER, [action("withdraw", 1)])
    exchange(ledger, TAKER, "revokeAgent", AGENT)

    assert not results[0][0]
    assert exchange(ledger, TAKER, "getAgents", TAKER) == ((),)
    with pytest.raises(AgentNotAuthorized):
        exchange(ledger, AGENT, "batchFor", TAKER, [])


# --- what the bytes say ---------------------------------------------------------------------------


def with_tif(time_in_force: TimeInForce) -> bytes:
    request = (MARKET, 5, 90, time_in_force, False, 0, 0, SelfTrade.CANCEL_MAKER)
    return action("placeOrderWith", request)


CANCEL, POST, TAKE, DEADLINE = (
    action("cancelByClientId", 7),
    with_tif(POST_ONLY),
    action("amendOrder", MARKET, 1, 2, 3),
    action("setDeadMansCancel", 9),
)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], ActionClass.ACCOUNT),
        ([DEADLINE], ActionClass.ACCOUNT),
        ([CANCEL, DEADLINE], ActionClass.CANCEL),
        ([POST, CANCEL], ActionClass.POST_ONLY),
        ([CANCEL, TAKE, POST], ActionClass.ORDER),
        ([with_tif(GTC)], ActionClass.ORDER),
        ([b"", b"\x01"], ActionClass.ACCOUNT),
        ([action("batch", [TAKE])], ActionClass.ACCOUNT),  # is refused
    ],
)
def test_a_batch_has_the_latest_class_of_its_actions_o8(
    actions: list[bytes], expected: ActionClass
) -> None:
    for data in (action("batch", actions), action("batchFor", TAKER, actions)):
        assert classify(EXCHANGE.address, data) is expected
        assert is_batch(data)
        assert list(get_actions(data)) == actions


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("cancelByClientId", ActionClass.CANCEL),
        ("cancelEverything", ActionClass.CANCEL),
        ("shrinkOrder", ActionClass.CANCEL),
        ("amendOrder", ActionClass.ORDER),
        ("amendByClientId", ActionClass.ORDER),
        ("placeOrderWith", ActionClass.ORDER),
        ("placeOrderWithPair", ActionClass.ORDER),
        ("placeTriggerWith", ActionClass.ORDER),
        ("placeTriggerPair", ActionClass.ORDER),
        ("setLeverage", ActionClass.ACCOUNT),
        ("authorizeAgent", ActionClass.ACCOUNT),
        ("revokeAgent", ActionClass.ACCOUNT),
        ("setDeadMansCancel", ActionClass.ACCOUNT),
    ],
)
def test_every_action_has_its_class_o8(function: str, expected: ActionClass) -> None:
    assert classify(EXCHANGE.address, EXCHANGE.functions[function].selector) is expected


def test_a_malformed_batch_has_no_actions() -> None:
    data = action("batch", [TAKE])[:-1]

    assert list(get_actions(data)) == []
    assert classify(EXCHANGE.address, data) is ActionClass.ACCOUNT


def test_a_batch_uses_what_its_actions_use() -> None:
    data = action("batch", [CANCEL, TAKE, b"\x01\x02\x03\x04"])
    plain = intrinsic_gas(Address(b"\x0a" * 20), data, ())
    gas = ACTION_GAS["Exchange"]

    used = intrinsic_gas(EXCHANGE.address, data, ())

    assert used - plain == (gas["batch"] + gas["cancelByClientId"] + gas["amendOrder"] + CALL_GAS)


# --- the other functions, as contracts see them ---------------------------------------------------


def test_orders_with_everything_and_their_views_o1() -> None:
    ledger = funded()
    expires_ms = ledger.time_ms + 9
    request = (MARKET, 5, 90, TimeInForce.GTT, False, expires_ms, 7, SelfTrade.CANCEL_BOTH)

    assert exchange(ledger, TAKER, "placeOrderWith", request) == (1,)

    assert exchange(ledger, TAKER, "findByClientId", TAKER, 7) == (MARKET, 1)
    shown = (f"0x{TAKER.hex()}", 5, 90, False, ledger.height, 7, expires_ms, False)
    assert exchange(ledger, TAKER, "getOrder", MARKET, 1) == (shown,)
    assert exchange(ledger, TAKER, "amendByClientId", 7, 6, 91) == (2,)
    assert exchange(ledger, TAKER, "amendOrder", MARKET, 2, 7, 91) == (3,)
    exchange(ledger, TAKER, "shrinkOrder", MARKET, 3, 2)
    exchange(ledger, TAKER, "cancelByClientId", 7)
    assert ledger.events[-1][:4] == (MARKET, TAKER, 3, 2)
    assert exchange(ledger, TAKER, "cancelEverything") == (0,)


def test_pairs_and_triggers_and_their_views_o1() -> None:
    ledger = funded()
    exchange(ledger, MAKER, "placeOrder", MARKET, -5, 100, GTC, False)
    request = (MARKET, 5, 100, GTC, False, 0, 0, SelfTrade.CANCEL_MAKER)
    take, lose = (104, 103, 8), (96, 0, 0)

    assert exchange(ledger, TAKER, "placeOrderWithPair", request, take, lose) == (2, 3, 4)

    owner = f"0x{TAKER.hex()}"
    shown = (owner, -5, 104, TriggerKind.TAKE_PROFIT, 0, 103, True, 0, 8, 4, 0, 0)
    assert exchange(ledger, TAKER, "getTrigger", MARKET, 3) == (shown,)
    exchange(ledger, TAKER, "cancelAllOrders", MARKET)
    assert exchange(ledger, TAKER, "placeTriggerPair", MARKET, 0, -5, 0, take, lose) == (5, 6)
    exchange(ledger, TAKER, "placeOrder", MARKET, 2, 90, GTC, False)
    assert exchange(ledger, TAKER, "placeTriggerPair", MARKET, 7, -2, 0, (105, 0, 0), lose) == (
        8,
        9,
    )
    assert exchange(ledger, TAKER, "getTrigger", MARKET, 8)[0][-2:] == (7, 2)
    stop = (MARKET, 4, 105, TriggerKind.STOP_LOSS, 106, False, 0, 0)
    assert exchange(ledger, TAKER, "placeTriggerWith", stop) == (10,)
    assert exchange(ledger, TAKER, "getTrigger", MARKET, 10)[0][1:7] == (4, 105, 0, 0, 106, False)


def test_codes_of_structs_are_checked() -> None:
    ledger = funded()
    request = [MARKET, 5, 90, GTC, False, 0, 0, SelfTrade.CANCEL_MAKER]
    for at, error in ((3, "InvalidTimeInForce"), (7, "InvalidSelfTrade")):
        wrong = list(request)
        wrong[at] = 9
        with pytest.raises(Exception, match=error):
            exchange(ledger, TAKER, "placeOrderWith", tuple(wrong))
    stop = (MARKET, 4, 105, 2, 106, False, 0, 0)
    with pytest.raises(Exception, match="InvalidTriggerKind"):
        exchange(ledger, TAKER, "placeTriggerWith", stop)


def test_leverage_and_the_dead_mans_cancel_are_set_and_seen_m4() -> None:
    ledger = funded()
    second = make_market(ledger)
    at_ms = ledger.time_ms + 5_000

    exchange(ledger, TAKER, "setLeverage", second, 200_000)
    exchange(ledger, TAKER, "setDeadMansCancel", at_ms)

    assert exchange(ledger, TAKER, "getLeverage", TAKER, second) == (200_000,)
    assert exchange(ledger, TAKER, "getLeverage", TAKER, MARKET) == (0,)
    assert exchange(ledger, TAKER, "getDeadMansCancel", TAKER) == (at_ms,)
    exchange(ledger, TAKER, "setDeadMansCancel", 0)
    assert exchange(ledger, TAKER, "getDeadMansCancel", TAKER) == (0,)


def test_an_amendment_that_would_take_is_refused_for_post_only_o1() -> None:
    ledger = funded()
    exchange(ledger, MAKER, "placeOrder", MARKET, -5, 100, GTC, False)
    exchange(ledger, TAKER, "placeOrder", MARKET, 5, 90, POST_ONLY, False)

    with pytest.raises(PostOnlyWouldCross):
        exchange(ledger, TAKER, "amendOrder", MARKET, 2, 5, 100)

    assert not any(isinstance(event, OrderCancelled) for event in ledger.events)
    assert ledger.book(MarketId(1)).orders[OrderId(2)][2:4] == (Lots(5), Ticks(90))
