"""Headers, extensions, receipts and blocks, to the byte as Ethereum's Shanghai has them."""

from typing import NamedTuple

from node.chain.transaction import Transaction
from node.units import Address, Hash32, Height, TimeMs, Wei


class Header(NamedTuple):
    """Ethereum's Shanghai header; its keccak256 over rlp is the block hash."""

    parent_hash: Hash32
    ommers_hash: Hash32
    """keccak256(rlp([])): there are no ommers."""
    coinbase: Address
    """The Fees address: gas goes there."""
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    """256 bytes."""
    difficulty: int
    """0."""
    number: Height
    gas_limit: int
    gas_used: int
    timestamp: int
    """Seconds; time_ms of the extension, floored. Never decreases."""
    extra_data: Hash32
    """keccak256 of the extension."""
    prev_randao: Hash32
    """Zero: nothing here is random."""
    nonce: bytes
    """8 zero bytes."""
    base_fee: Wei
    withdrawals_root: Hash32
    """The empty trie's root."""


class Extension(NamedTuple):
    """What Ethereum's header has no field for; its hash is the header's extra_data."""

    version: int
    fork_id: int
    dev_epoch: int
    time_ms: TimeMs
    """Strictly increases."""
    transitions_root: Hash32
    """Ordered trie over the block's transitions."""
    certified_height: Height
    last_certificate_hash: Hash32
    effects_head: Hash32
    """Head of the external-effects journal."""


class Log(NamedTuple):
    """An ABI event."""

    address: Address
    topics: tuple[Hash32, ...]
    data: bytes


class Receipt(NamedTuple):
    """What a transaction did. The first five fields make the receipt trie's value."""

    type: int
    status: int
    """1 success, 0 reverted."""
    cumulative_gas: int
    bloom: bytes
    logs: tuple[Log, ...]
    gas_used: int
    effective_gas_price: Wei
    output: bytes
    """The ABI error of a reverted transaction, else empty; kept for people, not consensus."""


class Block(NamedTuple):
    """A sealed block as it is sent and stored."""

    hash: Hash32
    header: Header
    extension: Extension
    transactions: tuple[Transaction, ...]
    """In executed order, system transactions included."""
    transitions: tuple[bytes, ...]
    """The encoded transitions, in order."""
    size: int
    """Bytes of rlp([header, transactions, [], []]): what eth_getBlock calls size."""
