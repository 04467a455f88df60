"""From what does not match to the words of a dispute: the first field, and both values."""

from __future__ import annotations

import structlog

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.certificate import Certificate, decode_certificate
from node.chain.validation import compare_changes
from node.consensus.dispute import Difference, shorten
from node.consensus.messages import Changes, Proposal
from node.consensus.proposals import read_changes
from node.errors import EncodingError, InvalidBlock, InvariantViolation, show

log = structlog.get_logger()


def make_difference(field: str, was: object, recomputed: object) -> Difference:
    """Return a difference in words, cut where they are too long for a dispute."""
    return Difference(shorten(field), shorten(show(was)), shorten(show(recomputed)))


def difference_of(wrong: InvalidBlock) -> Difference:
    """Return what an import found first."""
    field = wrong.field
    if isinstance(wrong, InvariantViolation):
        field = f"invariant {wrong.rule}, {field}"
    return make_difference(field, wrong.value, wrong.expected)


def name_record(
    blockchain: Blockchain, block: Block, proposal: Proposal, message: Changes
) -> Difference | None:
    """Return the first field in which the sequencer's records differ from our own.

    `block` is a successor of the head of which only the state root is wrong. None unless the
    sequencer's records, put on our parent state, have its state root: else they prove nothing.
    """
    theirs = read_changes(message)
    if theirs is None:
        return None
    with blockchain.write_lock:
        parent = blockchain.head
        claimed = blockchain.states.commit(parent.block.header.state_root, theirs).root
        if claimed != block.header.state_root:
            log.warning(
                "the sequencer's records do not have its state root",
                height=block.header.number,
                claimed=show(block.header.state_root),
                computed=show(claimed),
            )
            return None
        ours = blockchain.recompute(block, certificate_of(proposal)).ledger.changes()
    found = compare_changes(theirs, ours, parent.state)
    return None if found is None else make_difference(found.field, found.value, found.expected)


def certificate_of(proposal: Proposal) -> Certificate | None:
    """Return the certificate that came with a block, None if there is none that decodes."""
    try:
        return decode_certificate(proposal.certificate) if proposal.certificate else None
    except EncodingError:
        return None
