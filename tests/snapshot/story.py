"""A chain worth going back on: positions, resting orders, take-profits, and blocks to undo."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from node.chain.block import Block
from node.chain.genesis import Genesis
from node.crypto import ed25519_public_key, ed25519_sign
from node.crypto import sign as sign_digest
from node.governance.action import compute_digest, encode_action
from node.governance.council import Council
from node.governance.validators import Validator
from node.snapshot.approval import SignedPlan, domain_of, fork_action
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.draft import make_plan, reference_of
from node.snapshot.export import ExportJob
from node.snapshot.manifest import Manifest
from node.snapshot.plan import Plan, encode_plan
from node.snapshot.signatures import SnapshotCertifier, SnapshotSignature
from node.snapshot.snapshotter import Signer
from node.state.kv import KeyValue
from node.units import RatePpm, TimeMs
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 400_000
SEEDS = [bytes([number]) * 32 for number in (1, 2, 3, 4)]
"""Ed25519 seeds of four validators."""
SEQUENCER_SEED = bytes([9]) * 32

COUNCIL = [Person("signer-1"), Person("signer-2"), Person("signer-3")]
"""Two of them decide."""


class Story(NamedTuple):
    """A chain that was traded on, and its snapshot some blocks below the head."""

    chain: Chain
    maker: Person
    taker: Person
    snapshot: Block
    genesis: Genesis


def make_story_genesis(*, validators: bool = False) -> Genesis:
    """Return the story's genesis; with four validators of equal power if wanted."""
    genesis = make_genesis([Person("maker"), Person("taker")])
    council = Council(tuple(sorted(person.address for person in COUNCIL)), threshold=2)
    genesis = genesis._replace(council=council)
    if not validators:
        return genesis
    members = tuple(Validator(ed25519_public_key(seed), 1) for seed in SEEDS)
    return genesis._replace(sequencer=ed25519_public_key(SEQUENCER_SEED), validators=members)


def tell_story(
    kv: KeyValue | None = None,
    head_file: Path | None = None,
    *,
    validators: bool = False,
    restart_power_ppm: int = 0,
) -> Story:
    """Trade, leave orders and triggers at the snapshot's block, then trade on."""
    genesis = make_story_genesis(validators=validators)
    genesis = genesis._replace(
        chain=genesis.chain._replace(restart_power_ppm=RatePpm(restart_power_ppm))
    )
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(genesis, kv, head_file)
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(-10, PRICE + 1))
    chain.seal(
        *chain.reports(PRICE + 20),
        taker.order(10, PRICE + 5, tif=1),
        taker.call("Exchange", "placeTrigger", BTC, -10, PRICE - 9_000, 0),
        taker.call("Exchange", "placeTrigger", BTC, -50, PRICE + 9_000, 1),
    )
    snapshot = chain.seal(
        *chain.reports(PRICE + 30), maker.order(-5, PRICE + 900), taker.order(3, PRICE - 900)
    )
    chain.seal(*chain.reports(PRICE + 40), maker.order(-7, PRICE + 60))
    chain.seal(*chain.reports(PRICE + 50), taker.order(7, PRICE + 90, tif=1))
    chain.seal(*chain.reports(PRICE + 60), maker.call("Exchange", "deposit", 5_000_000))
    return Story(chain, maker, taker, snapshot, genesis)


def export(chain: Chain, block: Block, directory: SnapshotDirectory) -> Manifest:
    """Write a snapshot of a block, in small chunks."""
    return ExportJob(chain.blockchain, block, directory, chunk_target=2_000).finish()


def sign(manifest: Manifest, validator: int) -> SnapshotSignature:
    """Sign a manifest as one of the story's validators."""
    seed = SEEDS[validator]
    signer = Signer(ed25519_public_key(seed), lambda message: ed25519_sign(seed, message))
    signed = signer.sign(manifest)
    assert signed is not None, "one of the story's validators"
    return signed


def certify(chain: Chain, directory: SnapshotDirectory, manifest: Manifest, count: int = 3) -> None:
    """Have the first validators sign a snapshot."""
    certifier = SnapshotCertifier(chain.blockchain, directory)
    for validator in range(count):
        certifier.add(sign(manifest, validator))


def plan_of(story: Story, manifest: Manifest, reason: str = "rehearsal") -> Plan:
    """Plan the fork to the story's snapshot, at a fixed time."""
    return make_plan(
        story.chain.blockchain,
        reference_of(manifest),
        reason=reason,
        time_ms=TimeMs(story.chain.time_ms + 60_000),
    )


def id_of(manifest: Manifest) -> SnapshotId:
    """Return which snapshot a manifest is of."""
    return SnapshotId(manifest.fork_id, manifest.height)


def approve(plan: Plan, people: Sequence[Person] | None = None) -> SignedPlan:
    """Have members sign the action that follows from a plan."""
    action = fork_action(plan)
    digest = compute_digest(action, domain_of(plan))
    signatures = []
    for person in COUNCIL[:2] if people is None else people:
        r, s, parity = sign_digest(digest, person.key)
        signatures.append(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity]))
    return SignedPlan(encode_plan(plan), encode_action(action), tuple(signatures))
