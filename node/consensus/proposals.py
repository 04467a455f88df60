"""Blocks and their evidence as a node hands them out: read from the store, on either side."""

from __future__ import annotations

from node.chain.block import Block, encode_wire_block
from node.chain.blockchain import Blockchain
from node.chain.certificate import encode_certificate
from node.chain.store import Revert
from node.consensus.messages import (
    AccountRow,
    Blocks,
    Changes,
    GetBlocks,
    GetChanges,
    Proposal,
    RecordRow,
    Reverted,
)
from node.errors import MissingState
from node.state.store import EMPTY_CODE_HASH, AccountChange
from node.state.store import Changes as StateChanges
from node.units import Address, Hash32, Height, Wei

BLOCKS_BYTES_MAX = 4 * 1024 * 1024
"""After so much an answer ends; a single block may be longer."""
ROWS_MAX = 100_000
"""A block that changed more is not told record by record."""


def make_proposal(blockchain: Blockchain, block: Block) -> Proposal:
    """Return a canonical block with its author's signature and the certificate that it names."""
    certified = blockchain.block_at(block.extension.certified_height)
    if certified is None:  # a revert takes both out just now: whoever gets this drops it
        certified = block
    certificate = blockchain.store.load_certificate(certified.hash)
    return Proposal(
        encode_wire_block(block),
        blockchain.store.load_signature(block.hash),
        b"" if certificate is None else encode_certificate(certificate),
    )


def make_reverted(revert: Revert) -> Reverted:
    """Return how peers hear of a development revert."""
    fork_id, dev_epoch, height, block_hash, offset_ms, *_ = revert
    return Reverted(fork_id, dev_epoch, height, block_hash, offset_ms)


def answer_blocks(blockchain: Blockchain, request: GetBlocks) -> Blocks:
    """Return canonical blocks from a height on, as many as fit."""
    proposals, size = [], 0
    head = blockchain.head.block.header.number
    for height in range(max(request.from_height, 1), head + 1):
        block = blockchain.block_at(Height(height))
        if block is None or size >= BLOCKS_BYTES_MAX:
            break
        proposal = make_proposal(blockchain, block)
        proposals.append(proposal)
        size += len(proposal.block)
    return Blocks(tuple(proposals))


def answer_changes(blockchain: Blockchain, request: GetChanges) -> Changes:
    """Return what one of our blocks changed; no rows at all if that can't be told."""
    nothing = Changes(request.height, request.block_hash, (), ())
    block = blockchain.store.load_block(request.block_hash)
    if block is None or block.header.number != request.height or request.height == 0:
        return nothing
    try:
        changes = blockchain.changes_of(block)
    except MissingState:
        return nothing
    if len(changes.accounts) + sum(map(len, changes.records.values())) > ROWS_MAX:
        return nothing
    accounts = tuple(
        _account_row(address, account) for address, account in sorted(changes.accounts.items())
    )
    records = tuple(
        RecordRow(address, Hash32(key), record is not None, record or b"")
        for address, rows in sorted(changes.records.items())
        for key, record in sorted(rows.items())
    )
    return Changes(request.height, request.block_hash, accounts, records)


def read_changes(message: Changes) -> StateChanges | None:
    """Return a peer's rows as changes to a state, None if no state can take them."""
    changes = StateChanges(accounts={}, records={})
    for account in message.accounts:
        if not account.is_present or account.nonce < 0 or account.balance < 0:
            return None
        changes.accounts[account.address] = AccountChange(
            account.nonce, account.balance, account.code_hash
        )
    for row in message.records:
        changes.records.setdefault(row.address, {})[row.key] = (
            row.record if row.is_present else None
        )
    return changes


def _account_row(address: Address, account: AccountChange | None) -> AccountRow:
    if account is None:
        return AccountRow(address, False, 0, Wei(0), EMPTY_CODE_HASH)
    return AccountRow(address, True, account.nonce, account.balance, account.code_hash)
