"""The traders, all in one process: makers who quote around the mark, takers who trade at random.

`python -m node.devnet.traders`, with its part on standard input (`actor`). What a trader does at a
head follows from the chain's state and a draw that seed, trader, market and height decide; nothing
is remembered, so a restart of the node, of this process or of the whole devnet changes nothing.

Makers keep a ladder of post-only orders and renew it when the mark has moved away or a rung was
filled. Takers buy and sell with market and IOC orders, now and then protect a position by a stop
loss and a take profit, and go the other way when they hold too much.
"""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from node.devnet.actor import Action, Head, Signer, action, follow_heads, run_actor
from node.devnet.client import Client
from node.perp.account import EXCHANGE
from node.perp.order import TimeInForce, TriggerKind
from node.system.contracts import CONTRACTS, TOKEN
from node.units import PPM, Lots, MarketId, Quote, Ticks, Wei, mul_div_floor, notional

USDC = 10**6
DEPOSIT = Quote(500_000 * USDC)
"""What a trader moves into the exchange at a time."""
EQUITY_MIN = Quote(20_000 * USDC)
"""Below this it moves more in, as long as it has tokens."""
RUNGS: Sequence[tuple[int, Quote]] = (
    (400, Quote(5_000 * USDC)),
    (900, Quote(10_000 * USDC)),
    (2_000, Quote(20_000 * USDC)),
)
"""A maker's ladder: distance from the mark in ppm, and value, on each side."""
TOLERANCE_PPM = 400
"""How far the mark may move before the ladder is renewed: less than twice the first rung, so that
a new ladder does not cross another maker's old one."""
INVENTORY_MAX = Quote(150_000 * USDC)
"""A trader with a larger position only trades to make it smaller."""
TAKER_ONE_IN = 5
"""A taker trades in a market in one of so many blocks."""
TAKER_VALUES = (Quote(500 * USDC), Quote(4_000 * USDC))
IOC_BOUND_PPM = 5_000
"""How far from the mark a taker's IOC order may trade."""
PROTECT_ONE_IN = 3
"""An unprotected position gets its pair of triggers in one of so many turns."""
PROTECT_PPM = 15_000
"""How far from the mark the pair stands."""
SEED = 20260119


class MarketState(NamedTuple):
    """What a trader looks at in a market."""

    id: MarketId
    k: int
    mode: str
    mark: Ticks
    """0 before the first price."""


class Holding(NamedTuple):
    """What a trader has in a market."""

    position: Lots
    orders: tuple[Ticks, ...]
    """Prices of resting orders, ascending."""
    trigger_count: int


class Draw:
    """Numbers that look random and that seed and names alone decide."""

    def __init__(self, *names: object) -> None:
        self._state = "/".join(str(name) for name in (SEED, *names)).encode()

    def below(self, limit: int) -> int:
        """Return the next number in [0, limit)."""
        self._state = blake2b(self._state, digest_size=16).digest()
        return int.from_bytes(self._state, "big") % limit

    def between(self, lowest: int, highest: int) -> int:
        """Return the next number in [lowest, highest]."""
        return lowest + self.below(highest - lowest + 1)


def lots_of(value: Quote, market: MarketState) -> Lots:
    """Return how many lots the value buys at the mark (floor), at least one."""
    return Lots(max(1, mul_div_floor(value, 1, market.mark * market.k)))


def beside(mark: Ticks, ppm: int) -> Ticks:
    """Return the price so far from the mark (floor), at least one tick."""
    return Ticks(max(1, mul_div_floor(mark, PPM + ppm, PPM)))


def make_ladder(market: MarketState, position: Lots) -> list[tuple[Lots, Ticks]]:
    """Return a maker's orders: both sides, or the reducing one if it holds too much."""
    held = notional(position, market.mark, market.k)
    ladder: list[tuple[Lots, Ticks]] = []
    for distance, value in RUNGS:
        size = lots_of(value, market)
        if held < INVENTORY_MAX:
            ladder.append((size, beside(market.mark, -distance)))
        if held > -INVENTORY_MAX:
            ladder.append((Lots(-size), beside(market.mark, distance)))
    return ladder


def is_ladder_stale(
    ladder: Sequence[tuple[Lots, Ticks]], orders: Sequence[Ticks], mark: Ticks
) -> bool:
    """Tell whether resting orders are too few, too many, or too far from where they should be."""
    wanted = sorted(price for _, price in ladder)
    if len(wanted) != len(orders):
        return True
    furthest = max(abs(a - b) for a, b in zip(wanted, orders, strict=True))
    return furthest * PPM > TOLERANCE_PPM * mark


def plan_maker(market: MarketState, holding: Holding) -> list[Action]:
    """Return how a maker renews its ladder; nothing while it stands well or can't be placed."""
    if market.mode not in ("OPEN", "POST_ONLY") or not market.mark:
        return []
    ladder = make_ladder(market, holding.position)
    if not is_ladder_stale(ladder, holding.orders, market.mark):
        return []
    cancel = [action(EXCHANGE, "cancelAllOrders", market.id)] if holding.orders else []
    return cancel + [
        action(EXCHANGE, "placeOrder", market.id, size, price, TimeInForce.POST_ONLY, False)
        for size, price in ladder
    ]


def plan_taker(market: MarketState, holding: Holding, draw: Draw) -> list[Action]:
    """Return what a taker does in a block: mostly nothing, else a trade, sometimes protection."""
    if market.mode != "OPEN" or not market.mark or draw.below(TAKER_ONE_IN):
        return []
    if not holding.position and holding.trigger_count:
        return [action(EXCHANGE, "cancelAllOrders", market.id)]
    if holding.position and not holding.trigger_count and not draw.below(PROTECT_ONE_IN):
        return _protect(market, holding.position)
    size = lots_of(Quote(draw.between(*TAKER_VALUES)), market)
    held = notional(holding.position, market.mark, market.k)
    sells = held > 0 if abs(held) > INVENTORY_MAX else draw.below(2) == 0
    signed = Lots(-size if sells else size)
    if draw.below(2):
        return [action(EXCHANGE, "placeMarketOrder", market.id, signed, False)]
    price = beside(market.mark, -IOC_BOUND_PPM if sells else IOC_BOUND_PPM)
    return [action(EXCHANGE, "placeOrder", market.id, signed, price, TimeInForce.IOC, False)]


def _protect(market: MarketState, position: Lots) -> list[Action]:
    toward = PROTECT_PPM if position > 0 else -PROTECT_PPM
    return [
        action(EXCHANGE, "placeTrigger", market.id, -position, beside(market.mark, away), kind)
        for kind, away in ((TriggerKind.STOP_LOSS, -toward), (TriggerKind.TAKE_PROFIT, toward))
    ]


# --- looking and acting ---------------------------------------------------------------------------


async def play(client: Client, part: Any) -> None:
    """Trade at every new head until the connection is lost."""
    signers = [
        Signer(bytes.fromhex(key), chain_id=part["chain_id"], base_fee=Wei(part["base_fee_wei"]))
        for key in part["keys"]
    ]
    async for head in follow_heads(client, pause_s=part["pause_s"]):
        views = await client.batch(
            [("perp_getMarkets", ()), *(("perp_getAccount", (each.name,)) for each in signers)]
        )
        for view in views:
            if isinstance(view, Exception):
                raise view
        markets = [_market_state(market) for market in views[0]]
        await asyncio.gather(
            *(
                _act(client, signer, view, markets, is_maker=index % 2 == 0, head=head)
                for index, (signer, view) in enumerate(zip(signers, views[1:], strict=True))
            )
        )


async def _act(
    client: Client,
    signer: Signer,
    view: Mapping[str, Any],
    markets: Sequence[MarketState],
    *,
    is_maker: bool,
    head: Head,
) -> None:
    actions: list[Action] = []
    if view["equity"]["atoms"] < EQUITY_MIN:
        actions = await _plan_deposit(client, signer)
    if not actions:
        for market in markets:
            holding = _holding(view, market.id)
            draw = Draw(signer.name, market.id, head.height)
            actions += (
                plan_maker(market, holding) if is_maker else plan_taker(market, holding, draw)
            )
    if actions:
        await signer.send(client, actions)


async def _plan_deposit(client: Client, signer: Signer) -> list[Action]:
    question = {
        "to": "0x" + TOKEN.hex(),
        "data": "0x" + CONTRACTS[TOKEN].functions["balanceOf"].encode_call(signer.address).hex(),
    }
    tokens = int(await client.request("eth_call", question, "latest"), 16)
    amount = min(tokens, DEPOSIT)
    return [action(EXCHANGE, "deposit", amount)] if amount else []


def _market_state(market: Mapping[str, Any]) -> MarketState:
    mark = market["mark"]["ticks"] if market["mark"] else 0
    return MarketState(MarketId(market["market"]), market["k"], market["mode"], Ticks(mark))


def _holding(view: Mapping[str, Any], market: MarketId) -> Holding:
    def here(name: str) -> list[Mapping[str, Any]]:
        return [item for item in view[name] if item["market"] == market]

    return Holding(
        position=Lots(sum(position["size"]["lots"] for position in here("positions"))),
        orders=tuple(sorted(Ticks(order["price"]["ticks"]) for order in here("orders"))),
        trigger_count=len(here("triggers")),
    )


if __name__ == "__main__":
    run_actor(play)
