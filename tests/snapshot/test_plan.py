"""A fork plan: what it tells, its one form, and every check before anything is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.errors import (
    ActionExpired,
    DuplicateSignature,
    InvalidSnapshot,
    NotEnoughSignatures,
    OperatorError,
    PerpnodeError,
    PlanRefused,
    UnknownSigner,
    WrongForkId,
)
from node.governance.action import encode_action
from node.governance.council import Council
from node.perp.margin import get_equity
from node.snapshot.approval import (
    SignedPlan,
    decode_signed_plan,
    encode_signatures_file,
    encode_signed_plan,
    fork_action,
    read_signed_plan,
)
from node.snapshot.check import AHEAD_MS_MAX, verify_plan
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.draft import make_plan, reference_of
from node.snapshot.fork import build_fork_block
from node.snapshot.manifest import Manifest
from node.snapshot.plan import Plan, decode_plan, encode_plan, plan_hash
from node.units import Hash32, Height, TimeMs
from tests.helpers.chain import Chain, Person
from tests.snapshot.story import (
    COUNCIL,
    Story,
    approve,
    certify,
    export,
    id_of,
    plan_of,
    tell_story,
)


class Case:
    """A certified snapshot, a plan, and a council that signs."""

    def __init__(self, path: Path) -> None:
        self.story: Story = tell_story(validators=True)
        self.directory = SnapshotDirectory(path / "snapshots")
        self.manifest: Manifest = export(self.story.chain, self.story.snapshot, self.directory)
        certify(self.story.chain, self.directory, self.manifest)
        self.plan: Plan = plan_of(self.story, self.manifest)

    @property
    def blockchain(self) -> Blockchain:
        return self.story.chain.blockchain

    @property
    def path(self) -> Path:
        return self.directory.path_of(id_of(self.manifest))

    def verify(self, plan: Plan | None = None, **changes: object) -> Plan:
        """Verify a plan that two of three members signed, unless told otherwise."""
        wanted = self.plan if plan is None else plan
        signed = changes.pop("signed", None) or approve(wanted)
        now_ms = changes.pop("now_ms", wanted.header.time_ms)
        assert isinstance(signed, SignedPlan)
        assert isinstance(now_ms, int)
        return verify_plan(self.blockchain, signed, snapshot=self.path, now_ms=TimeMs(now_ms))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


# --- its form -------------------------------------------------------------------------------------


def test_plan_reads_back_and_has_one_form(case: Case) -> None:
    data = encode_plan(case.plan)

    assert decode_plan(data) == case.plan
    for other in (data[:-1], data.replace(b",", b", ", 1), b"", b"[]", b"[" * 100_000):
        with pytest.raises(PlanRefused, match="content"):
            decode_plan(other)


def test_plan_with_other_operations_is_refused(case: Case) -> None:
    document = json.loads(encode_plan(case.plan))
    document["operations"][3]["kept"] = []
    data = json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"

    with pytest.raises(PlanRefused, match="fixed operations"):
        decode_plan(data.encode())


@pytest.mark.parametrize("total", [1.5, None, True])
def test_totals_with_two_spellings_are_refused(case: Case, total: object) -> None:
    document = json.loads(encode_plan(case.plan))
    document["totals"]["undone"]["blocks"] = total
    data = json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"

    with pytest.raises(PlanRefused, match="content"):
        decode_plan(data.encode())


def test_signed_plan_travels_and_reads_from_files(case: Case) -> None:
    signed = approve(case.plan)
    file = encode_signatures_file(case.plan, fork_action(case.plan), signed.signatures)

    assert decode_signed_plan(encode_signed_plan(signed)) == signed
    assert read_signed_plan(encode_plan(case.plan), file) == signed
    with pytest.raises(PlanRefused, match="plan_hash"):
        read_signed_plan(encode_plan(case.plan._replace(reason="another")), file)


# --- what it tells --------------------------------------------------------------------------------


def test_plan_counts_what_is_undone(case: Case) -> None:
    totals = case.plan.totals

    undone = totals["undone"]
    # After the snapshot: an order, a taker that meets it, a deposit; three reports each block.
    assert (undone["blocks"], undone["transactions"], undone["accounts"]) == (3, 12, 5)
    assert undone["trades"] == 1
    assert undone["traded_notional"] == str(7 * 400_060 * 10)
    assert undone["deposits"]["total"] == "5000000"
    assert totals["liquidations_reversed"] == []
    orders = totals["orders"]
    assert (orders["cancelled"], orders["kept"], orders["kept_smaller"]) == (2, 2, 1)


def test_equities_are_the_margins_own_and_sum(case: Case) -> None:
    equity = case.plan.totals["equity"]

    assert equity["totals"]["before"]["sum"] == "0"
    assert equity["totals"]["after"]["sum"] == "0"
    after = build_fork_block(case.blockchain, case.plan).ledger
    before = case.blockchain.ledger_after(case.blockchain.head.block)
    rows = {row["account"].lower(): row for row in equity["accounts"]}
    for person in (case.story.maker, case.story.taker):
        row = rows["0x" + person.address.hex()]
        assert row["before"] == str(get_equity(before, person.address))
        assert row["after"] == str(get_equity(after, person.address))
        assert int(row["change"]) == int(row["after"]) - int(row["before"])


def test_plan_is_made_of_a_snapshot_of_this_chain_below_the_head(
    case: Case, tmp_path: Path
) -> None:
    other = tell_story(validators=True)
    other.chain.seal(elapsed_ms=77)
    foreign = export(other.chain, other.chain.head, SnapshotDirectory(tmp_path / "foreign"))
    head = export(case.story.chain, case.story.chain.head, case.directory)

    for manifest, message in ((foreign, "not in this node's chain"), (head, "nothing to undo")):
        with pytest.raises(OperatorError, match=message):
            make_plan(case.blockchain, reference_of(manifest), reason="", time_ms=TimeMs(0))


# --- the checks -----------------------------------------------------------------------------------


def test_certified_plan_with_the_threshold_is_good(case: Case) -> None:
    assert case.verify() == case.plan
    assert case.verify(signed=approve(case.plan, COUNCIL)) == case.plan


Change = Callable[[Plan], Plan]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda p: p._replace(chain_id=1), "chain_id"),
        (lambda p: p._replace(genesis_hash=Hash32(bytes(32))), "genesis_hash"),
        (lambda p: p._replace(fork_id=2), "fork_id"),
        (
            lambda p: p._replace(snapshot=p.snapshot._replace(manifest_hash=Hash32(bytes(32)))),
            r"snapshot\.manifest_hash",
        ),
        (
            lambda p: p._replace(snapshot=p.snapshot._replace(state_root=Hash32(bytes(32)))),
            r"snapshot\.state_root",
        ),
        (
            lambda p: p._replace(snapshot=p.snapshot._replace(height=Height(3))),
            r"snapshot\.height",
        ),
        (lambda p: p._replace(header=p.header._replace(number=Height(1))), r"header\.number"),
        (lambda p: p._replace(header=p.header._replace(gas_limit=1)), r"header\.gas_limit"),
        (lambda p: p._replace(header=p.header._replace(dev_epoch=1)), r"header\.dev_epoch"),
        (
            lambda p: p._replace(header=p.header._replace(effects_head=Hash32(b"\1" * 32))),
            r"header\.effects_head",
        ),
        (
            lambda p: p._replace(header=p.header._replace(time_ms=p.orphan_tip.time_ms)),
            r"header\.time_ms",
        ),
    ],
)
def test_each_lie_is_refused_by_its_field(case: Case, change: Change, field: str) -> None:
    head = case.blockchain.head.block

    with pytest.raises(PlanRefused, match=field):
        case.verify(change(case.plan))

    assert case.blockchain.head.block == head


def test_snapshot_that_is_not_an_ancestor_is_refused(case: Case) -> None:
    other = Chain(case.story.genesis)
    for _ in range(40):
        other.seal(elapsed_ms=50)

    with pytest.raises(PlanRefused, match=r"snapshot\.block_hash"):
        verify_plan(
            other.blockchain,
            approve(case.plan),
            snapshot=case.path,
            now_ms=case.plan.header.time_ms,
        )


def test_snapshot_without_a_quorum_is_refused(case: Case) -> None:
    (case.path / "signatures.json").unlink()
    with pytest.raises(PlanRefused, match="power that signed the snapshot: was 0"):
        case.verify()

    certify(case.story.chain, case.directory, case.manifest, count=2)
    with pytest.raises(PlanRefused, match="power that signed the snapshot: was 2"):
        case.verify()

    certify(case.story.chain, case.directory, case.manifest, count=3)
    assert case.verify() == case.plan


def test_node_with_state_and_signatures_needs_no_manifest(case: Case) -> None:
    (case.path / "manifest.json").unlink()

    assert case.verify() == case.plan

    (case.path / "signatures.json").unlink()
    with pytest.raises(PlanRefused, match="a snapshot that is here"):
        case.verify()


def test_altered_chunk_is_refused(case: Case) -> None:
    (case.path / "chunks" / "00002").write_bytes(b"")

    with pytest.raises(InvalidSnapshot, match="chunks/00002"):
        case.verify()


STRANGER = Person("stranger")


@pytest.mark.parametrize(
    ("people", "error"),
    [
        ([], NotEnoughSignatures),
        (COUNCIL[:1], NotEnoughSignatures),
        ([COUNCIL[0], COUNCIL[0]], DuplicateSignature),
        ([*COUNCIL[:2], STRANGER], UnknownSigner),
    ],
)
def test_signatures_of_too_few_or_of_strangers_are_refused_by_name(
    case: Case, people: list[Person], error: type[PerpnodeError]
) -> None:
    with pytest.raises(error):
        case.verify(signed=approve(case.plan, people))


def test_signatures_of_another_plan_are_refused(case: Case) -> None:
    signed = approve(case.plan)
    other = case.plan._replace(reason="another")

    with pytest.raises(PlanRefused, match=r"action\.plan_hash"):
        case.verify(signed=signed._replace(plan=encode_plan(other)))
    action = encode_action(fork_action(other))
    with pytest.raises(PlanRefused, match=r"action\.plan_hash"):
        case.verify(signed=signed._replace(action=action))


@pytest.mark.parametrize(
    ("change", "error"),
    [({"fork_id": 1}, WrongForkId), ({"expires_at": 1}, ActionExpired)],
)
def test_action_for_another_branch_or_expired_is_refused(
    case: Case, change: dict[str, int], error: type[PerpnodeError]
) -> None:
    signed = approve(case.plan)
    action = fork_action(case.plan)._replace(**change)  # type: ignore[arg-type]

    with pytest.raises(error):
        case.verify(signed=signed._replace(action=encode_action(action)))


def test_time_is_at_most_ten_minutes_ahead_of_the_clock(case: Case) -> None:
    time_ms = case.plan.header.time_ms

    assert case.verify(now_ms=time_ms - AHEAD_MS_MAX) == case.plan
    with pytest.raises(PlanRefused, match="ahead of the clock"):
        case.verify(now_ms=time_ms - AHEAD_MS_MAX - 1)


def test_council_of_the_snapshot_decides_not_that_of_the_orphaned_branch(case: Case) -> None:
    """A corrupt branch may name its own council: the certified state's counts."""
    council = Council(tuple(sorted(person.address for person in COUNCIL)), 2)
    state = case.blockchain.states.at(case.plan.snapshot.state_root)

    assert state.root != case.blockchain.head.state.root
    assert case.manifest.council == council
    assert case.verify() == case.plan


def test_plan_hash_is_of_the_whole_document(case: Case) -> None:
    other = case.plan._replace(totals={**case.plan.totals, "unit": "?"})

    assert plan_hash(other) != plan_hash(case.plan)
