"""What every Ed25519 signature of a node is over: all domains on one page (DESIGN section 6).

    "perpnode/1/" ‖ KIND ‖ 0x00 ‖ MessagePack [genesis_hash, chain_id, fork_id, dev_epoch, *fields]

    kind      who signs                      fields
    PROPOSAL  the sequencer, each block      height, block_hash
    ATTEST    a validator, a block it made   height, block_hash
              again, guarded (never two
              hashes at one height)
    SNAPSHOT  a validator, its own snapshot  height, block_hash, state_root, manifest_hash
    DISPUTE   a validator that disagrees     height, block_hash, proposal_signature, field, was,
                                             recomputed, other_hash, other_signature, validator
    FORK      a validator that built F       fork block's hash, state root
    HELLO     both ends of a peer link       what the link's greeting names

No two kinds share a byte string: the kind ends at the zero byte, which no kind holds. The identity
keeps a signature of one chain, fork or development branch from counting on another.
"""

from enum import StrEnum
from typing import NamedTuple

from node.encoding import pack
from node.units import Hash32

PREFIX = b"perpnode/1/"


class Kind(StrEnum):
    """What a signature says."""

    PROPOSAL = "PROPOSAL"
    ATTEST = "ATTEST"
    SNAPSHOT = "SNAPSHOT"
    DISPUTE = "DISPUTE"
    FORK = "FORK"
    HELLO = "HELLO"


class Identity(NamedTuple):
    """Which chain, and which branch of it, a signature is for."""

    genesis_hash: Hash32
    """Block 0's hash."""
    chain_id: int
    fork_id: int
    dev_epoch: int


def signed_bytes(kind: Kind, identity: Identity, *fields: int | bytes | str) -> bytes:
    """Return the bytes that a signature of this kind is over."""
    return PREFIX + kind.value.encode("ascii") + b"\x00" + pack((*identity, *fields))
