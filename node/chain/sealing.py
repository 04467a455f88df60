"""The header over what was applied: how a block gets its roots and its hash."""

from node.chain.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Extension,
    Header,
    block_size,
    encode_extension,
    encode_receipt,
    header_hash,
    join_blooms,
)
from node.chain.execution import Applied, BlockInput
from node.crypto import keccak256
from node.perp.account import FEES
from node.state.ordered import ordered_root
from node.state.store import EMPTY_TRIE_ROOT
from node.units import Hash32, Height

ZERO_HASH = Hash32(bytes(32))


def seal(
    applied: Applied,
    extension: Extension,
    parent: Header | None,
    state_root: Hash32,
    inputs: BlockInput,
) -> Block:
    """Build the block of what was applied; None as parent makes block 0."""
    extension = extension._replace(transitions_root=ordered_root(applied.transitions))
    header = Header(
        parent_hash=ZERO_HASH if parent is None else header_hash(parent),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=FEES,
        state_root=state_root,
        transactions_root=ordered_root([tx.raw for tx in applied.transactions]),
        receipts_root=ordered_root([encode_receipt(each) for each in applied.receipts]),
        logs_bloom=join_blooms([each.bloom for each in applied.receipts]),
        difficulty=0,
        number=Height(0 if parent is None else parent.number + 1),
        gas_limit=inputs.gas_limit,
        gas_used=applied.gas_used,
        timestamp=extension.time_ms // 1000,
        extra_data=Hash32(keccak256(encode_extension(extension))),
        prev_randao=ZERO_HASH,
        nonce=bytes(8),
        base_fee=inputs.base_fee,
        withdrawals_root=EMPTY_TRIE_ROOT,
    )
    return Block(
        header_hash(header),
        header,
        extension,
        applied.transactions,
        applied.transitions,
        block_size(header, applied.transactions),
    )
