"""The sign guard: a validator never signs two blocks of one height, whatever happens to it.

What it signed last is on disk before the signature leaves the process: a new file is written and
fsynced, renamed over the old one, and the directory fsynced. Positions are ordered by (fork_id,
dev_epoch, height); a fork or a development revert opens heights again, nothing else does.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.chain.certificate import attestation_bytes
from node.chain.crash import crash_point
from node.chain.domains import Identity
from node.chain.durable import write_durably
from node.crypto import ed25519_public_key, ed25519_sign, keccak256
from node.errors import CorruptSignGuard, SigningRefused
from node.units import Hash32, Height

FILE = "sign-guard"
_TITLE = "perpnode sign guard 1"


class Position(NamedTuple):
    """Where a signed block stands."""

    fork_id: int
    dev_epoch: int
    height: Height


class Signed(NamedTuple):
    """What was signed last."""

    position: Position
    block_hash: Hash32
    signature: bytes


class SignGuard:
    """Signs attestations with one key on one chain; used by one thread at a time."""

    def __init__(self, path: Path, seed: bytes, genesis_hash: Hash32) -> None:
        """Open the guard's file, if there is one; CorruptSignGuard unless it is whole and ours."""
        self._path = path
        self._seed = seed
        self._genesis_hash = genesis_hash
        self.public_key = ed25519_public_key(seed)
        self.last = self._load()

    def sign(self, identity: Identity, height: Height, block_hash: Hash32) -> bytes:
        """Return the ATTEST signature over a block; the same again for the block signed last.

        Raises SigningRefused for any other block that is not above the last.
        """
        assert identity.genesis_hash == self._genesis_hash, "a guard belongs to one chain"
        position = Position(identity.fork_id, identity.dev_epoch, height)
        last = self.last
        if last is not None and position <= last.position:
            if position == last.position and block_hash == last.block_hash:
                return last.signature
            raise SigningRefused(_show(position), block_hash, _show(last.position), last.block_hash)
        signature = ed25519_sign(self._seed, attestation_bytes(identity, height, block_hash))
        signed = Signed(position, block_hash, signature)
        crash_point("guard: before the file")
        text = _render(signed, self._genesis_hash, self.public_key)
        write_durably(self._path, text.encode("ascii"))
        crash_point("guard: after the file")
        self.last = signed
        return signature

    def move_to(self, identity: Identity, height: Height, block_hash: Hash32) -> None:
        """Sign nothing before this block any more: a fork begins with it. Nothing is given out."""
        last = self.last
        if last is None or Position(identity.fork_id, identity.dev_epoch, height) > last.position:
            self.sign(identity, height, block_hash)

    def _load(self) -> Signed | None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CorruptSignGuard(f"{self._path} can't be read ({error.strerror})") from None
        signed, genesis_hash, public_key = self._parse(data)
        if genesis_hash != self._genesis_hash:
            raise self._foreign("chain", genesis_hash, self._genesis_hash)
        if public_key != self.public_key:
            raise self._foreign("key", public_key, self.public_key)
        return signed

    def _parse(self, data: bytes) -> tuple[Signed, bytes, bytes]:
        """Return what the one form of a file says; CorruptSignGuard for any other bytes."""
        try:
            fields = dict(line.split(" ", 1) for line in data.decode("ascii").splitlines()[1:])
            genesis_hash, public_key, block_hash, signature = (
                bytes.fromhex(fields[name][2:])
                for name in ("genesis_hash", "public_key", "block_hash", "signature")
            )
            position = Position(
                int(fields["fork_id"]), int(fields["dev_epoch"]), Height(int(fields["height"]))
            )
        except (ValueError, KeyError):
            raise self._corrupt() from None
        signed = Signed(position, Hash32(block_hash), signature)
        if _render(signed, genesis_hash, public_key).encode("ascii") != data:
            raise self._corrupt()
        return signed, genesis_hash, public_key

    def _corrupt(self) -> CorruptSignGuard:
        return CorruptSignGuard(
            f"{self._path} is damaged: this validator can't know what it signed last, and signs "
            "nothing; restore the file from a copy that is surely the newest, or start with a new "
            "key and have the council replace this one"
        )

    def _foreign(self, what: str, value: bytes, expected: bytes) -> CorruptSignGuard:
        return CorruptSignGuard(
            f"{self._path} belongs to the {what} 0x{value.hex()}, not to 0x{expected.hex()}: use "
            "the data directory that the key signed from"
        )


def _render(signed: Signed, genesis_hash: bytes, public_key: bytes) -> str:
    """Return the file's one form; its last line is the hash of all before."""
    body = (
        f"{_TITLE}\n"
        f"genesis_hash 0x{genesis_hash.hex()}\n"
        f"public_key 0x{public_key.hex()}\n"
        f"fork_id {signed.position.fork_id}\n"
        f"dev_epoch {signed.position.dev_epoch}\n"
        f"height {signed.position.height}\n"
        f"block_hash 0x{signed.block_hash.hex()}\n"
        f"signature 0x{signed.signature.hex()}\n"
    )
    return f"{body}check 0x{keccak256(body.encode('ascii')).hex()}\n"


def _show(position: Position) -> str:
    return f"fork {position.fork_id}, epoch {position.dev_epoch}, height {position.height}"
