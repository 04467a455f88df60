"""The disputes a node knows of: verified, on disk, and weighed for the branch at hand."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.blockchain import Blockchain
from node.consensus.dispute import (
    Dispute,
    decode_dispute,
    encode_dispute,
    identity_of,
    is_equivocation,
    verify_dispute,
)
from node.errors import InvalidDispute
from node.governance.validators import ValidatorSet, is_certificate_impossible

PER_VALIDATOR_MAX = 16
"""A validator stops with its first dispute; who signs many more is not stored any further."""


class Disputes:
    """All disputes, oldest branch and lowest block first. Any thread reads, one adds at a time."""

    def __init__(self, blockchain: Blockchain) -> None:
        self._blockchain = blockchain
        self._all = tuple(decode_dispute(each) for each in blockchain.store.load_disputes())

    def all(self) -> Sequence[Dispute]:
        """Return every dispute there is, whatever its branch."""
        return self._all

    def add(self, dispute: Dispute) -> bool:
        """Verify and store a dispute; False if it is known, or one too many of its author.

        False as well if it is of a block so far ahead that others than this node knows may attest
        it: who passed that on did nothing wrong. Raises InvalidDispute.
        """
        if dispute in self._all:
            return False
        blockchain = self._blockchain
        identity = identity_of(dispute, blockchain.genesis_hash, blockchain.genesis.chain_id)
        try:
            verify_dispute(dispute, identity, self._set_of(dispute))
        except InvalidDispute:
            if dispute.height > blockchain.head.block.header.number + 1:
                return False
            raise
        own = [each for each in self._all if _author(each) == _author(dispute)]
        if len(own) >= PER_VALIDATOR_MAX:
            return False  # whoever passed it on did nothing wrong
        blockchain.store.save_dispute(
            encode_dispute(dispute),
            fork_id=dispute.fork_id,
            dev_epoch=dispute.dev_epoch,
            height=dispute.height,
        )
        self._all = tuple(sorted((*self._all, dispute), key=lambda each: each[:3]))
        return True

    def current(self) -> Sequence[Dispute]:
        """Return the disputes about the branch that the head goes on with."""
        identity = self._blockchain.next_identity()
        branch = (identity.fork_id, identity.dev_epoch)
        return [each for each in self._all if each[:2] == branch]

    def author_of(self, dispute: Dispute) -> bytes:
        """Return the public key of the validator that a dispute names; empty if there is none.

        Its index is of the set that attests the disputed block; the set may have changed since.
        """
        members, index = self._set_of(dispute).members, dispute.validator
        return members[index].public_key if 0 <= index < len(members) else b""

    def find_stop(self, withdrawn: frozenset[bytes] = frozenset()) -> Dispute | None:
        """Return the dispute for which sealing must stop, None if it may go on.

        Two signed blocks at one height are enough by themselves. Else those who dispute must have
        the power that makes a certificate impossible; `withdrawn` holds the keys of validators
        whose dispute no longer counts.
        """
        current = self.current()
        for dispute in current:
            if is_equivocation(dispute):
                return dispute
        counting = [each for each in current if self.author_of(each) not in withdrawn]
        if not counting:
            return None
        members = self._blockchain.next_validators().members
        authors = {self.author_of(each) for each in counting}
        power = sum(each.power for each in members if each.public_key in authors)
        is_stop = is_certificate_impossible(self._blockchain.next_validators(), power)
        return counting[0] if is_stop else None

    def _set_of(self, dispute: Dispute) -> ValidatorSet:
        block = None
        if dispute.height <= self._blockchain.head.block.header.number:
            block = self._blockchain.block_at(dispute.height)
        blockchain = self._blockchain
        return blockchain.next_validators() if block is None else blockchain.validators_of(block)


def _author(dispute: Dispute) -> tuple[int, int, int]:
    return dispute.fork_id, dispute.dev_epoch, dispute.validator
