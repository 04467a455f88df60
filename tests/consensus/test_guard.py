"""The sign guard: what it signs, what it refuses, what it does with a damaged file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.blockchain import Blockchain
from node.chain.certificate import attestation_bytes
from node.chain.domains import Identity
from node.chain.store import BlockStore
from node.consensus.guard import Position, SignGuard
from node.consensus.messages import Attestation, GetBlocks, Message
from node.consensus.proposals import answer_blocks, make_proposal
from node.crypto import ed25519_public_key, ed25519_verify, keccak256
from node.errors import CorruptSignGuard, SigningRefused
from node.state.kv import MemoryDb
from node.units import Hash32, Height, TimeMs
from tests.consensus.liar import Liar
from tests.consensus.network import Clock, Follower, validators_genesis

GENESIS = keccak256(b"genesis")
SEED = bytes(keccak256(b"validator"))
CHAIN_ID = 20260119


def identity(fork_id: int = 0, dev_epoch: int = 0) -> Identity:
    return Identity(GENESIS, CHAIN_ID, fork_id, dev_epoch)


def block(name: str) -> Hash32:
    return keccak256(name.encode())


def open_guard(path: Path) -> SignGuard:
    return SignGuard(path, SEED, GENESIS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sign-guard"


def test_a_signature_holds(path: Path) -> None:
    signature = open_guard(path).sign(identity(), Height(7), block("a"))

    message = attestation_bytes(identity(), Height(7), block("a"))
    assert ed25519_verify(ed25519_public_key(SEED), signature, message)


def test_the_same_block_gets_the_same_signature_again(path: Path) -> None:
    signature = open_guard(path).sign(identity(), Height(7), block("a"))

    assert open_guard(path).sign(identity(), Height(7), block("a")) == signature


def test_another_block_of_the_height_is_refused_with_both(path: Path) -> None:
    open_guard(path).sign(identity(), Height(7), block("a"))

    with pytest.raises(SigningRefused) as refusal:
        open_guard(path).sign(identity(), Height(7), block("b"))

    assert str(refusal.value) == (
        f"no signature for block 0x{block('b').hex()} at fork 0, epoch 0, height 7: "
        f"signed 0x{block('a').hex()} at fork 0, epoch 0, height 7"
    )


def test_a_lower_height_is_refused(path: Path) -> None:
    guard = open_guard(path)
    guard.sign(identity(), Height(7), block("a"))

    with pytest.raises(SigningRefused):
        guard.sign(identity(), Height(6), block("older"))


@pytest.mark.parametrize("later", [identity(1, 0), identity(0, 1)])
def test_a_fork_or_a_revert_opens_heights_again_and_closes_the_old_branch(
    path: Path, later: Identity
) -> None:
    guard = open_guard(path)
    guard.sign(identity(), Height(7), block("a"))

    guard.sign(later, Height(3), block("b"))

    with pytest.raises(SigningRefused):
        open_guard(path).sign(identity(), Height(8), block("c"))


def test_it_is_on_disk_before_the_signature_leaves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watch_fsync(descriptor: int) -> None:
        is_directory = os.path.isdir(f"/proc/self/fd/{descriptor}")
        steps.append("fsync directory" if is_directory else "fsync file")
        fsync(descriptor)

    def watch_rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        replace(self, target)
        return target

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(Path, "replace", watch_rename)

    open_guard(path).sign(identity(), Height(1), block("a"))

    assert steps == ["fsync file", "rename", "fsync directory"]


def test_a_disk_that_refuses_gets_no_signature(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = open_guard(path)
    guard.sign(identity(), Height(1), block("a"))

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            guard.sign(identity(), Height(2), block("b"))

    assert guard.last == open_guard(path).last
    assert guard.last is not None
    assert guard.last.position == Position(0, 0, Height(1))


def test_another_key_or_chain_is_refused(path: Path) -> None:
    open_guard(path).sign(identity(), Height(1), block("a"))

    with pytest.raises(CorruptSignGuard, match="belongs to the key"):
        SignGuard(path, bytes(keccak256(b"another")), GENESIS)
    with pytest.raises(CorruptSignGuard, match="belongs to the chain"):
        SignGuard(path, SEED, keccak256(b"another"))


def test_every_torn_file_is_refused_by_name(path: Path) -> None:
    open_guard(path).sign(identity(), Height(1), block("a"))
    whole = path.read_bytes()

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptSignGuard, match="signs nothing"):
            open_guard(path)


@given(st.data())
def test_every_altered_file_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sign-guard"
        open_guard(path).sign(identity(), Height(1), block("a"))
        altered = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(altered) - 1))
        altered[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(altered)

        with pytest.raises(CorruptSignGuard):
            open_guard(path)


# --- no sequence of requests makes it sign twice --------------------------------------------------

STEPS = st.one_of(
    st.tuples(
        st.just("sign"),
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(1, 4), st.sampled_from("abc")),
    ),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("crash after the new file"), st.integers(0, 400)),
    st.tuples(st.just("crash after the rename"), st.none()),
)


class Crash(BaseException):
    """The process dies here."""


@given(st.lists(STEPS, max_size=30))
def test_no_sequence_makes_it_sign_two_blocks_of_a_height(
    steps: list[tuple[str, object]],
) -> None:
    signed: dict[tuple[int, int, int], set[Hash32]] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sign-guard"
        guard = open_guard(path)
        for step, argument in steps:
            if step == "sign":
                assert isinstance(argument, tuple)
                fork_id, dev_epoch, height, name = argument
                try:
                    guard.sign(identity(fork_id, dev_epoch), Height(height), block(name))
                except SigningRefused:
                    continue
                signed.setdefault((fork_id, dev_epoch, height), set()).add(block(name))
                continue
            if step == "crash after the new file":
                # The new file is torn: it was not renamed, and no signature left.
                assert isinstance(argument, int)
                whole = path.read_bytes() if path.exists() else b"perpnode sign guard 1\n" * 20
                path.with_suffix(".new").write_bytes(whole[:argument])
            elif step == "crash after the rename":
                _crash_after_rename(guard)
            guard = open_guard(path)

    assert all(len(hashes) == 1 for hashes in signed.values())


def _crash_after_rename(guard: SignGuard) -> None:
    """Die with the file written and the signature still inside the process."""
    last = guard.last
    height = 1 if last is None else min(last.position.height + 1, 4)
    branch = identity() if last is None else identity(*last.position[:2])

    def die(name: str) -> None:
        if name == "guard: after the file":
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.consensus.guard.crash_point", die)
        with contextlib.suppress(Crash, SigningRefused):
            guard.sign(branch, Height(height), block("unsent"))


# --- no sequence of messages makes a validator do it ----------------------------------------------


@pytest.fixture(scope="module")
def lies() -> list[Message]:
    """Two chains of four blocks each that one sequencer signed, and blocks that nobody did."""
    genesis = validators_genesis([])
    messages: list[Message] = []
    for step in (100, 150):
        kv = MemoryDb()
        blockchain = Blockchain(genesis, kv, BlockStore(kv, None))
        liar = Liar(blockchain)
        for number in range(1, 5):
            made = blockchain.execute([], TimeMs(genesis.time_ms + step * number))
            blockchain.commit(made, signature=liar.sign(made.block))
            proposal = make_proposal(blockchain, made.block)
            messages += [proposal, proposal._replace(signature=bytes(64))]
        messages.append(answer_blocks(blockchain, GetBlocks(Height(1))))
    return messages


@given(
    st.lists(
        st.one_of(
            st.integers(0, 17), st.sampled_from(["restart", "lose the database", "tick", "link"])
        ),
        max_size=25,
    )
)
def test_no_sequence_of_messages_makes_a_validator_sign_two_blocks_of_a_height(
    lies: list[Message], steps: list[int | str]
) -> None:
    genesis = validators_genesis([])
    signed: dict[int, set[Hash32]] = {}
    with tempfile.TemporaryDirectory() as directory:
        clock = Clock(genesis.time_ms + 10_000)
        follower = Follower(genesis, 0, Path(directory), clock, MemoryDb())
        for step in steps:
            answers: Sequence[Message] = []
            if isinstance(step, int):
                answers = follower.node.on_message(lies[step])
            elif step == "tick":
                answers = follower.node.on_tick()
            elif step == "link":
                answers = follower.node.on_connected(fork_id=0)
            else:
                if step == "lose the database":
                    follower.kv = MemoryDb()
                follower.restart()
            for answer in answers:
                if isinstance(answer, Attestation):
                    signed.setdefault(answer.height, set()).add(answer.block_hash)

    assert all(len(hashes) == 1 for hashes in signed.values())


def test_after_a_fork_nothing_of_the_branch_before_is_signed(path: Path) -> None:
    open_guard(path).sign(identity(), Height(40), block("old"))
    open_guard(path).move_to(identity(fork_id=1), Height(21), block("fork"))

    guard = open_guard(path)
    for before in (identity(), identity(dev_epoch=9)):
        with pytest.raises(SigningRefused):
            guard.sign(before, Height(41), block("old"))
    with pytest.raises(SigningRefused):
        guard.sign(identity(fork_id=1), Height(21), block("another fork"))
    guard.sign(identity(fork_id=1), Height(22), block("next"))
    guard.move_to(identity(fork_id=1), Height(21), block("fork"))  # again at each start
    assert open_guard(path).last == guard.last
