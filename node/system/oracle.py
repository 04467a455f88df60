"""The Oracle contract: its functions by name."""

from node.perp.oracle import get_oracle, process_report
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import Address, MarketId, Ticks, TimeMs


def report_price(
    ledger: SystemLedger,
    sender: Address,
    market: MarketId,
    price: Ticks,
    observed_ms: TimeMs,
    fork_id: int,
) -> Outputs:
    """Take a reporter's report, or say in an event why it does not count (P1, P2)."""
    process_report(ledger, sender, market, price, observed_ms, fork_id)
    return ()


def view_price(ledger: SystemLedger, _: Address, market: MarketId) -> Outputs:
    """Return the accepted price, and whether the market is STALE or JUMP (P1, P2)."""
    oracle = get_oracle(ledger, market)
    return oracle.price, oracle.stale, bool(oracle.jump)


def view_report(ledger: SystemLedger, _: Address, market: MarketId, reporter: Address) -> Outputs:
    """Return a reporter's latest report, zeros if there is none (P1)."""
    get_oracle(ledger, market)
    report = ledger.reports.get((market, reporter))
    return (0, 0) if report is None else report


HANDLERS: Handlers = {
    "reportPrice": report_price,
    "getPrice": view_price,
    "getReport": view_report,
    "reporters": lambda ledger, _: (ledger.params.reporters,),
    "quorum": lambda ledger, _: (ledger.params.reporter_quorum,),
}
