"""O1, M4: several actions in one transaction, by the account itself or its agent."""

from collections.abc import Callable, Sequence

from tests.reference.accounts import check_agent
from tests.reference.world import Refused, World

ACTIONS_MAX = 50


def act(
    world: World,
    sender: bytes,
    owner: bytes,
    actions: Sequence[Callable[[World], object]],
    *,
    more: int = 0,
) -> list[bool]:
    """Each with its own result; `more` of them are nothing that a batch may do."""
    if sender != owner:
        check_agent(world, owner, sender)
    if len(actions) + more > ACTIONS_MAX:
        raise Refused
    return [_is_done(world, each) for each in actions]


def _is_done(world: World, action: Callable[[World], object]) -> bool:
    saved = world.save()
    try:
        action(world)
    except Refused:
        world.restore(saved)
        return False
    return True
