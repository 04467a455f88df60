"""A sequencer that lies in the block itself, and signs it: the lies a validator must refuse.

It makes an honest block first and then alters it, keeping everything that its own header commits to
consistent, so that only recomputing can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.chain.block import (
    Block,
    block_size,
    encode_extension,
    encode_wire_block,
    header_hash,
)
from node.chain.blockchain import Blockchain
from node.chain.certificate import Certificate, encode_certificate, proposal_bytes
from node.chain.transaction import Transaction
from node.consensus.messages import Proposal
from node.crypto import ed25519_sign, keccak256
from node.state.ordered import ordered_root
from node.units import Hash32, TimeMs
from tests.consensus.network import SEQUENCER_SEED


def forge(
    block: Block,
    *,
    header: dict[str, Any] | None = None,
    extension: dict[str, Any] | None = None,
    transactions: Sequence[Transaction] | None = None,
    transitions: Sequence[bytes] | None = None,
) -> Block:
    """Return the block with a lie in it; the roots over what was altered are made to fit."""
    made_up = dict(header or {})
    forged_extension = block.extension._replace(**(extension or {}))
    body = block.transactions if transactions is None else tuple(transactions)
    listed = block.transitions if transitions is None else tuple(transitions)
    if transitions is not None:
        forged_extension = forged_extension._replace(transitions_root=ordered_root(listed))
    if transactions is not None:
        made_up.setdefault("transactions_root", ordered_root([tx.raw for tx in body]))
    if forged_extension != block.extension:
        made_up.setdefault("extra_data", Hash32(keccak256(encode_extension(forged_extension))))
    if extension and "time_ms" in extension:
        made_up.setdefault("timestamp", forged_extension.time_ms // 1000)
    forged_header = block.header._replace(**made_up)
    return Block(
        header_hash(forged_header),
        forged_header,
        forged_extension,
        body,
        listed,
        block_size(forged_header, body),
    )


class Liar:
    """A sequencer's chain and key; it never commits what it lies about."""

    def __init__(self, blockchain: Blockchain) -> None:
        self.blockchain = blockchain

    def make(self, transactions: Sequence[Transaction], time_ms: int) -> Block:
        """Make an honest next block."""
        made = self.blockchain.execute(transactions, TimeMs(time_ms), self.blockchain.certificate)
        return made.block

    def sign(self, block: Block) -> bytes:
        """Sign a block as this branch's sequencer does, whatever its extension says."""
        identity = self.blockchain.identity_of(self.blockchain.head.block)
        message = proposal_bytes(identity, block.header.number, block.hash)
        return ed25519_sign(SEQUENCER_SEED, message)

    def propose(self, block: Block, certificate: Certificate | None = None) -> Proposal:
        """Return the block as peers get it, with the newest certificate or another one."""
        certificate = certificate or self.blockchain.certificate
        encoded = b"" if certificate is None else encode_certificate(certificate)
        return Proposal(encode_wire_block(block), self.sign(block), encoded)
