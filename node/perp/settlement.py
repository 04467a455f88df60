"""How a taker's fill is settled beside its price and size: trades and liquidations differ (O3, L5).

`trading` matches; whoever sends a taker says by a `Settlement` what a fill costs and what else
belongs into its one journal entry. The liquidation's lets the LiquidatorVault take part.
"""

from collections.abc import Sequence
from typing import Protocol

from node.perp.account import Leg
from node.perp.fee import FeeRates, compute_trade_rates
from node.perp.ledger import Ledger
from node.perp.parameters import MarketParams
from node.units import Address, Lots, MarketId, Ticks


class Settlement(Protocol):
    """What a taker's fills cost and move beside the trade itself."""

    @property
    def is_liquidation(self) -> bool:
        """Whether the fills are a liquidation's; told by OrderFilled."""

    def compute_rates(self, params: MarketParams) -> FeeRates:
        """Return what taker and maker are charged (O3)."""

    def compute_legs(
        self, ledger: Ledger, taker: Address, market: MarketId, *, size: Lots, price: Ticks
    ) -> Sequence[Leg] | None:
        """Return what else belongs into the fill's entry, summing to zero; None refuses the fill.

        Asked when funding is settled and before anything is written; `size` is signed as the
        taker's. A refusal ends the matching; it is nobody's fault, so the maker stays.
        """

    def process_filled(self, ledger: Ledger, taker: Address, market: MarketId) -> None:
        """Tell what the fill that `compute_legs` was last asked about meant, after it was made."""


class TradeSettlement:
    """An ordinary trade: fees and nothing else."""

    is_liquidation = False

    def compute_rates(self, params: MarketParams) -> FeeRates:
        """Return the market's fees (O3)."""
        return compute_trade_rates(params)

    def compute_legs(
        self, ledger: Ledger, taker: Address, market: MarketId, *, size: Lots, price: Ticks
    ) -> Sequence[Leg] | None:
        """Return nothing: no third party takes part."""
        return ()

    def process_filled(self, ledger: Ledger, taker: Address, market: MarketId) -> None:
        """Do nothing: OrderFilled says it all."""


TRADE = TradeSettlement()
