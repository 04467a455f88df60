"""The price reporters, all in one process: each signs a report per market and block (RULES P1).

`python -m node.devnet.reporters`, with its part on standard input (`actor`). A report's observed
time is the head block's, so it is never in the future and later than the reporter's last one. The
reporters differ by a tick, as real ones would, and their median is the source's price.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.devnet.actor import Action, Head, Signer, action, follow_heads, run_actor
from node.devnet.client import Client
from node.devnet.prices import PricedMarket, PriceSource
from node.devnet.replay import PriceChoice, open_source
from node.system.contracts import ORACLE
from node.units import MarketId, Wei

Markets = Sequence[tuple[MarketId, PricedMarket]]


def make_reports(
    source: PriceSource, markets: Markets, head: Head, *, reporter: int, reporters: int
) -> list[Action]:
    """Return one report per market: the source's price at the head, a few ticks beside it.

    The reporters stand one tick apart around the price, so the lower median of all is at most one
    tick below it.
    """
    apart = reporter - reporters // 2
    return [
        action(
            ORACLE,
            "reportPrice",
            market,
            max(1, source.price(priced, head.time_ms) + apart),
            head.time_ms,
            head.fork_id,
        )
        for market, priced in markets
    ]


async def play(client: Client, part: Any) -> None:
    """Report at every new head until the connection is lost."""
    signers = [
        Signer(bytes.fromhex(key), chain_id=part["chain_id"], base_fee=Wei(part["base_fee_wei"]))
        for key in part["keys"]
    ]
    markets = [
        (MarketId(market["id"]), PricedMarket(market["symbol"], market["tick_decimals"]))
        for market in part["markets"]
    ]
    choice = PriceChoice(*part["prices"])
    source: PriceSource | None = None
    async for head in follow_heads(client, pause_s=part["pause_s"]):
        if source is None:
            source = open_source(choice, Path(part["prices_path"]), head.time_ms)
        await asyncio.gather(
            *(
                signer.send(
                    client,
                    make_reports(source, markets, head, reporter=i, reporters=len(signers)),
                )
                for i, signer in enumerate(signers)
            )
        )


if __name__ == "__main__":
    run_actor(play)
