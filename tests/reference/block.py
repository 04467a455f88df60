"""O6: what happens in a block, in which order; and M3, money in and out."""

import math
from collections.abc import Callable
from fractions import Fraction

from tests.reference import (
    cancelling,
    funding,
    governance,
    liquidation,
    mark,
    modes,
    prices,
    refunds,
    settings,
    shedding,
    triggers,
    vault,
)
from tests.reference.margin import withdrawal_risk
from tests.reference.world import BRIDGE, HALTED, OPEN, Refused, World, ppm


def begin(world: World, elapsed: int) -> None:
    settings.take_effect(world)
    world.height += 1
    world.parent_time_ms = world.time_ms
    world.time_ms += elapsed
    world.placed = {}


def deposit(world: World, owner: bytes, amount: int) -> None:
    if world.chain.mode == HALTED:
        raise Refused
    world.pay((owner, amount), (BRIDGE, -amount))


def withdraw(world: World, owner: bytes, amount: int) -> None:
    """M3: what stays carries IM and a tenth of the open notional; all it touches is OPEN."""
    present = {market for who, market in world.positions if who == owner}
    present |= {market for (market, _), order in world.orders.items() if order.owner == owner}
    present |= {market for (market, _), each in world.triggers.items() if each.owner == owner}
    if world.chain.mode != OPEN or any(world.mode(market) != OPEN for market in present):
        raise Refused
    if world.time_ms < world.chain.withdrawals_from_ms:
        raise Refused
    risk = withdrawal_risk(world, owner)
    tenth = math.ceil(Fraction(risk.open_notional) * ppm(world.params.withdrawal_floor_ppm))
    if risk.equity - amount < max(risk.initial, tenth):
        raise Refused
    world.pay((owner, -amount), (BRIDGE, amount))


def shed_and_liquidate(world: World) -> None:
    """G5 first, then L1 to L4."""
    shedding.shed(world)
    liquidation.liquidate(world)


STEPS: dict[str, Callable[[World], None]] = {
    "process_gap": modes.close_gap,
    "process_prices": prices.judge_prices,
    "process_alarms": modes.close_alarmed,
    "process_mark": mark.set_marks,
    "process_funding": funding.accrue,
    "process_post_only_limits": modes.test_resting,
    "process_liquidations": shed_and_liquidate,
    "process_negative_balances": vault.absorb,
    "process_vault_orders": vault.work_off,
    "process_fired_triggers": triggers.try_fired,
    "process_new_triggers": triggers.fire,
    "process_premium_sample": funding.sample,
    "process_reopening": modes.reopen,
    "process_decrees": governance.obey,
    "process_settings": settings.fit_funding,
    "process_listings": settings.wait,
    "process_maintenance": governance.maintain,
    "process_expiries": cancelling.expire,
    "process_compensation_ends": refunds.end_all,
}
"""What the protocol does by itself, by what the rules call it; O6 has the order."""
