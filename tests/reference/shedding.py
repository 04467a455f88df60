"""G5: orders that an account's equity no longer carries."""

import math
from fractions import Fraction

from tests.reference.following import remove
from tests.reference.margin import risk_of
from tests.reference.world import Order, World


def shed(world: World) -> None:
    """Below IM, orders that add risk are cancelled, most passive first, until equity ≥ IM.

    Only where the table lets an order be touched: OPEN, and grace over (X4).
    """
    for owner in sorted({order.owner for order in world.orders.values()}):
        while True:
            risk = risk_of(world, owner)
            adding = [
                (_passivity(world, market, number, order), (market, number))
                for (market, number), order in world.orders.items()
                if order.owner == owner
                and world.may_act(market)
                and _adds_risk(world, (market, number), order)
            ]
            if risk.equity >= risk.initial or not adding:
                break
            remove(world, *max(adding)[1])


def _adds_risk(world: World, key: tuple[int, int], order: Order) -> bool:
    """What can only close the position adds none, flagged reduce-only or not."""
    if order.reduce_only:
        return False
    held = world.position(order.owner, key[0]).size
    beside = sum(
        each.size
        for _, each in world.orders_of(key[0], order.owner)
        if each.size * order.size > 0 and not each.reduce_only
    )
    return held * order.size >= 0 or abs(beside) > abs(held)


def _passivity(world: World, market: int, number: int, order: Order) -> tuple[int, int, int, int]:
    """Farthest from the mark in ppm, then newest; RULES does not compare ids of two markets."""
    mark = world.markets[market].mark
    away = mark - order.price if order.size > 0 else order.price - mark
    return math.floor(Fraction(away * 10**6, mark)), order.height, -market, number
