"""L3 to L6: what the LiquidatorVault takes, works off and pays, and what nobody can pay."""

import math
from fractions import Fraction

from tests.reference import funding
from tests.reference.following import shrink
from tests.reference.margin import maintenance_of, risk_of
from tests.reference.matching import match, move
from tests.reference.world import DEFICIT, HALTED, SYSTEM_MAX, VAULT, Position, World, ppm, sign


def bankruptcy_quote(world: World, owner: bytes, market: int, lots: int) -> int:
    """b of L2 for closing `lots` of the position, signed as the position; plain equity and MM."""
    size = world.position(owner, market).size
    plain = risk_of(world, owner)
    fall = maintenance_of(world, market, size) - maintenance_of(world, market, size - lots)
    share = math.floor(Fraction(plain.equity * fall, plain.maintenance))
    return lots * world.markets[market].mark * world.k(market) - share


def hand_over(world: World, giver: bytes, receiver: bytes, market: int, quote: int) -> None:
    """Move a whole or part position for `quote`, which the giver gets; see `hand_over_lots`."""
    hand_over_lots(world, giver, receiver, market, world.position(giver, market).size, quote)


def hand_over_lots(
    world: World, giver: bytes, receiver: bytes, market: int, lots: int, quote: int
) -> None:
    """Move `lots`, signed as the giver's position, for `quote`: zero-sum, no fee."""
    world.pay((giver, quote), (receiver, -quote))
    for owner, change, cost in ((giver, -lots, -quote), (receiver, lots, quote)):
        move(world, owner, market, change, cost)
    for owner in (giver, receiver):
        shrink(world, owner, market)


def take_over(world: World, owner: bytes, market: int) -> bool:
    """L3: the vault takes the position for exactly b, if it may have it.

    Read: what it may have asks for plain equity and MM; the doubt of L1 is for who is liquidated.
    """
    saved = world.save()
    funding.settle(world, owner, market)
    funding.settle(world, VAULT, market)
    size = world.position(owner, market).size
    quote = bankruptcy_quote(world, owner, market, size)
    hand_over(world, owner, VAULT, market, quote)
    after = risk_of(world, VAULT)
    held = world.position(VAULT, market).size
    if (
        after.equity >= 4 * after.maintenance
        and abs(held) <= world.market_params[market].vault_size_max
    ):
        return True
    world.restore(saved)
    return False


def work_off(world: World) -> None:
    """L3: one reduce-only IOC a market, a tenth, within 50 bps of the mark."""
    for market in world.markets:
        size = world.position(VAULT, market).size
        if size and world.may_act(market):
            lots = -sign(size) * max(1, abs(size) // 10)
            mark, far = world.markets[market].mark, ppm(5_000)
            bound = math.floor(mark * (1 + far)) if lots > 0 else math.ceil(mark * (1 - far))
            match(world, VAULT, market, lots, bound)


def deleverage(world: World, owner: bytes, market: int) -> bool:
    """L4: against opposite positions, pairwise; tell whether any pair closed.

    What finds no partner stays, and closes withdrawals (M3).
    """
    funding.settle(world, owner, market)
    closed = False
    for partner in _partners(world, owner, market):
        closed |= _close_pair(world, owner, partner, market)
        if not world.position(owner, market).size:
            return True
    close_withdrawals(world)
    return closed


def _partners(world: World, owner: bytes, market: int) -> list[bytes]:
    """The vault first, then by profit·n / (|entry value|·equity), highest first, then by id."""
    size = world.position(owner, market).size
    opposite = [
        (who, position)
        for (who, where), position in world.positions.items()
        if where == market and position.size * size < 0
    ]
    ranked = sorted(
        (who != VAULT, -_rank(world, who, market, position), who)
        for who, position in opposite
        if risk_of(world, who).equity > 0
    )
    return [who for _, _, who in ranked]


def _rank(world: World, who: bytes, market: int, position: Position) -> Fraction | float:
    value = position.size * world.markets[market].mark * world.k(market)
    gain = (value - position.entry) * abs(value)
    weight = abs(position.entry) * risk_of(world, who).equity
    if weight == 0:
        return math.inf if gain > 0 else -math.inf if gain < 0 else 0.0
    return Fraction(gain, weight)


def _close_pair(world: World, owner: bytes, partner: bytes, market: int) -> bool:
    saved = world.save()
    funding.settle(world, partner, market)
    size, other = world.position(owner, market).size, world.position(partner, market).size
    lots = sign(size) * min(abs(size), abs(other))
    if owner == VAULT and risk_of(world, VAULT).equity >= 0:
        quote = lots * world.markets[market].mark * world.k(market)
    else:
        quote = bankruptcy_quote(world, owner, market, lots)
    hand_over_lots(world, owner, partner, market, lots, quote)
    if risk_of(world, partner).equity >= 0:
        return True
    world.restore(saved)
    return False


def pay_vault(world: World, account: bytes, amount: int) -> None:
    """Income repays the Deficit first (L6); a payment is the vault's own."""
    repaid = min(amount, max(0, -world.balances.get(DEFICIT, 0))) if amount > 0 else 0
    world.pay((account, -amount), (DEFICIT, repaid), (VAULT, amount - repaid))


def absorb(world: World) -> None:
    """L6: a debt without a position is paid by the vault as far as it can, the rest by Deficit."""
    if world.chain.mode == HALTED:
        return
    holders = {owner for owner, _ in world.positions}
    for owner in sorted(world.balances):
        debt = -world.balances[owner]
        if owner <= SYSTEM_MAX or owner in holders or debt <= 0:
            continue
        vault = risk_of(world, VAULT)
        by_vault = min(debt, max(0, vault.equity - 4 * vault.maintenance))
        by_deficit = debt - by_vault
        world.pay((owner, debt), (VAULT, -by_vault), (DEFICIT, -by_deficit))
        if by_deficit:  # M3: after each block in which Deficit grew
            close_withdrawals(world)


def close_withdrawals(world: World) -> None:
    until = world.time_ms + world.params.withdrawal_gate_ms
    world.chain = world.chain._replace(
        withdrawals_from_ms=max(until, world.chain.withdrawals_from_ms)
    )
