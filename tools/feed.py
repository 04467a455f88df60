"""The devnet's price reporters, played within a rehearsal: they can be silent, late or wrong.

They have the devnet's keys and sign the reports of `node.devnet.reporters`. The devnet runs none of
its own then (`--reporters 0`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from node.chain.genesis import Genesis
from node.devnet.accounts import REPORTERS_PATH, derive_leading_keys
from node.devnet.actor import Head, Signer, follow_heads
from node.devnet.client import Client, connect
from node.devnet.prices import PricedMarket, PriceSource
from node.devnet.replay import PriceChoice, open_source
from node.devnet.reporters import make_reports
from node.errors import NodeUnreachable
from node.units import PPM, Ticks, TimeMs, mul_div_floor

RETRY_S = 0.2
PATIENCE_S = 60.0


class Moved(NamedTuple):
    """A source whose prices another one moved: asleep for a while, and some ppm beside it."""

    source: PriceSource
    asleep_from_ms: TimeMs
    asleep_ms: int
    ppm: int

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        """Return the source's price, as if the time asleep had not been; floor."""
        seen_ms = time_ms - self.asleep_ms if time_ms > self.asleep_from_ms else time_ms
        price = self.source.price(market, TimeMs(seen_ms))
        return Ticks(mul_div_floor(price, PPM + self.ppm, PPM))


class Feed:
    """All reporters; what they do changes between two heads."""

    def __init__(self, url: str, genesis: Genesis, choice: PriceChoice, memory: Path) -> None:
        keys = derive_leading_keys(REPORTERS_PATH, set(genesis.chain.reporters))
        self._url = url
        self._signers = [
            Signer(each.private_key, chain_id=genesis.chain_id, base_fee=genesis.base_fee_wei)
            for each in keys
        ]
        self._markets = [
            (market.id, PricedMarket(market.params.symbol, market.params.tick_decimals))
            for market in genesis.markets
        ]
        self._choice = choice
        self._memory = memory
        self._asleep = (TimeMs(0), 0)
        self.is_silent = False
        self.observed_ms: int | None = None
        """Late: reports say that they were observed then, and each a millisecond later."""
        self.ppm = 0
        """How far the market has moved beside the source."""
        self.wrong_ppm = 0
        """How far beside it all reporters but the middle one say that it is."""

    @property
    def honest(self) -> str:
        """The address of the reporter that is never wrong, and whose price is the source's."""
        return self._signers[len(self._signers) // 2].name

    def sleep(self, from_ms: int, by_ms: int) -> None:
        """Let block time after a moment be so much further than the prices' own."""
        self._asleep = (TimeMs(from_ms), by_ms)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Report at every head until the end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        source: PriceSource | None = None
        while True:
            try:
                async with connect(self._url, patience_s=PATIENCE_S) as client:
                    async for head in follow_heads(client, pause_s=0):
                        if source is None:
                            source = open_source(self._choice, self._memory, head.time_ms)
                        if not self.is_silent:
                            await self._report(client, source, head)
            except NodeUnreachable:
                await asyncio.sleep(RETRY_S)  # a rehearsal stops its node and starts it again

    async def _report(self, client: Client, source: PriceSource, head: Head) -> None:
        if self.observed_ms is not None:
            self.observed_ms += 1
            head = head._replace(time_ms=TimeMs(self.observed_ms))
        count = len(self._signers)
        for index, signer in enumerate(self._signers):
            wrong_ppm = 0 if index == count // 2 else self.wrong_ppm
            seen = Moved(source, *self._asleep, self.ppm + wrong_ppm)
            reports = make_reports(
                seen, self._markets, head, reporter=index, reporters=len(self._signers)
            )
            await signer.send(client, reports)
