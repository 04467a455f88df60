"""I8, "a refund": the vault gives a total, each of a list is paid once, what is left returns.

Whether a refund is in the list that the council signed is not the rules' matter, nor this one's.
"""

from tests.reference.margin import risk_of
from tests.reference.world import HALTED, LIMIT, REFUNDS, SYSTEM_MAX, VAULT, Refused, Repaid, World


def compensate(world: World, root: bytes, count: int, total: int, cap: int, until: int) -> int:
    """L5: no more than the vault is worth."""
    if not 1 <= count <= total <= cap or not world.time_ms // 1_000 <= until <= LIMIT:
        raise Refused
    if any(each.root == root for each in world.repaid.values()):
        raise Refused
    if risk_of(world, VAULT).equity < total:
        raise Refused
    number = len(world.repaid) + 1
    world.repaid[number] = Repaid(root, count, total, until)
    world.pay((VAULT, -total), (REFUNDS, total))
    return number


def left_of(world: World, number: int) -> int:
    """What is neither paid nor returned; walks all that was paid."""
    paid = sum(each[1] for (of, _), each in world.refunds.items() if of == number)
    return world.repaid[number].total - paid - world.repaid[number].returned


def count_of(world: World, number: int) -> int:
    return sum(of == number for of, _ in world.refunds)


def refund(world: World, number: int, index: int, account: bytes, amount: int) -> None:
    """Like a deposit; once an account. With the last of them, or the last atom, it is over."""
    if world.chain.mode == HALTED or number not in world.repaid:
        raise Refused
    repaid = world.repaid[number]
    if (number, account) in world.refunds or repaid.ended_at or is_over(world, number):
        raise Refused
    if not 0 <= index < repaid.size or account <= SYSTEM_MAX:
        raise Refused
    if not 0 < amount <= left_of(world, number):
        raise Refused
    world.refunds[number, account] = (index, amount, world.height)
    world.pay((REFUNDS, -amount), (account, amount))
    if count_of(world, number) == repaid.size or left_of(world, number) == 0:
        end(world, number)


def is_over(world: World, number: int) -> bool:
    return world.time_ms // 1_000 > world.repaid[number].until


def end(world: World, number: int) -> None:
    rest = left_of(world, number)
    world.pay((REFUNDS, -rest), (VAULT, rest))
    world.repaid[number] = world.repaid[number]._replace(ended_at=world.height, returned=rest)


def end_all(world: World) -> None:
    """While HALTED nothing moves."""
    if world.chain.mode != HALTED:
        for number, repaid in world.repaid.items():
            if not repaid.ended_at and is_over(world, number):
                end(world, number)
