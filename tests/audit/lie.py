"""A number that a sequencer made wrong, its honest twin, and the fork that leaves the lie."""

from pathlib import Path

from node.audit.corrections import NONE
from node.audit.statement import Audit, audit
from node.chain.block import Block
from node.chain.genesis import Genesis
from node.consensus.faults import Fault, FaultKind, Faults, Stage
from node.snapshot.apply import apply_plan
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.draft import make_plan, reference_of
from node.state.kv import KeyValue
from node.units import Address, FundingIndex, Height, MarketId, TimeMs
from tests.audit.incident import BIDDER, LONG, MAKER, RIGHT, SIZE, make_incident_genesis
from tests.helpers.chain import USDC, Chain
from tests.snapshot.story import certify, export, make_story_genesis

OLD_INDEX = FundingIndex(160_000 * 10**9)
"""1e-9 atoms a lot: 4,500 lots that had this for nothing would gain 720 USDC."""


def make_lie_genesis() -> Genesis:
    """Return a governed and validated chain whose markets' funding has a long history."""
    story, genesis = make_story_genesis(validators=True), make_incident_genesis()
    markets = [market._replace(funding_index=OLD_INDEX) for market in genesis.markets]
    return genesis._replace(
        markets=tuple(markets),
        council=story.council,
        sequencer=story.sequencer,
        validators=story.validators,
    )


class Twins:
    """Two chains with one history; one of them then lies in a number, and goes on."""

    def __init__(self, kv: KeyValue | None = None, head_file: Path | None = None) -> None:
        self.honest = tell_opening(Chain(make_lie_genesis()))
        self.liar = tell_opening(Chain(make_lie_genesis(), kv, head_file))
        self.first = Height(self.liar.head.header.number + 1)
        self.snapshot = self.liar.head

    def lie(self, kind: FaultKind, target: MarketId | Address, value: int) -> None:
        """Make a number wrong between two blocks, and seal the same inputs on both chains."""
        faults = Faults(self.liar.blockchain, self.liar.kv)
        faults.inject(Fault(kind, Stage.CACHE, target, value))
        for _ in range(3):
            reports = self.liar.reports(RIGHT)
            deposit = MAKER.call("Exchange", "deposit", USDC)
            for chain in (self.liar, self.honest):
                chain.seal(*reports, deposit)

    def audit(self) -> Audit:
        """Audit all that the liar sealed since the lie."""
        return audit(self.liar.blockchain, self.first, self.liar.head, NONE)

    def fork(self, directory: SnapshotDirectory) -> Block:
        """Leave the lie for a certified snapshot of the block before it."""
        manifest = export(self.liar, self.snapshot, directory)
        certify(self.liar, directory, manifest)
        plan = make_plan(
            self.liar.blockchain,
            reference_of(manifest),
            reason="a number was wrong",
            time_ms=TimeMs(self.liar.time_ms + 60_000),
        )
        return apply_plan(self.liar.blockchain, plan)


def tell_opening(chain: Chain) -> Chain:
    """Let the long buy, and the bidder bid and offer close to the price."""
    for person in (LONG, MAKER, BIDDER):
        person.nonce = 0
    chain.open_market(RIGHT)
    chain.seal(*chain.reports(RIGHT), MAKER.order(-SIZE, RIGHT))
    chain.seal(*chain.reports(RIGHT), LONG.order(SIZE, RIGHT, tif=1))
    chain.seal(*chain.reports(RIGHT), BIDDER.order(900, RIGHT - 10), BIDDER.order(-900, RIGHT + 10))
    return chain
