"""Compare a received block with the one computed here: header, body, result, in that order.

The first difference is the evidence: block, field, both values (DESIGN section 4). What a block
says of itself is checked before anything is executed, its results after; among these transitions
come first, because they say most, and the state root last, because it says least: the records
behind it are named by `compare_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from node.chain import keys
from node.chain.block import Block, encode_extension
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction, validate_transaction
from node.chain.transition import compare_transitions
from node.crypto import keccak256
from node.errors import (
    BodyMismatch,
    EncodingError,
    HeaderMismatch,
    InvalidTransaction,
    NonceTooHigh,
    StateMismatch,
    TransitionMismatch,
)
from node.state.difference import RecordDifference, walk
from node.state.ordered import ordered_root
from node.state.store import AccountChange, AccountLeaf, Changes, State, StateReader
from node.units import Address, Wei

ABSENT = "absent"

# --- before execution ----------------------------------------------------------------------------


def validate_successor(block: Block, parent: Block) -> None:
    """Check what the block says of its parent, of time and of itself."""
    header, extension = block.header, block.extension
    height = header.number
    _same(height, "number", height, parent.header.number + 1)
    _same(height, "parent_hash", header.parent_hash, parent.hash)
    if extension.time_ms <= parent.extension.time_ms:
        raise HeaderMismatch(
            height, "time_ms", extension.time_ms, f"more than {parent.extension.time_ms}"
        )
    _same(height, "timestamp", header.timestamp, extension.time_ms // 1000)
    _same(height, "extra_data", header.extra_data, keccak256(encode_extension(extension)))
    root = ordered_root([tx.raw for tx in block.transactions])
    _same(height, "transactions_root", header.transactions_root, root)


def validate_body(block: Block, *, chain_id: int, base_fee: Wei, gas_limit: int) -> None:
    """Check each of people's transactions by itself, as a mempool would have."""
    nonce_end = (block.extension.fork_id + 1) << 32
    for index, tx in enumerate(block.transactions):
        if tx.sender == SYSTEM_ACCOUNT:
            continue
        try:
            validate_transaction(tx, chain_id=chain_id, base_fee=base_fee, gas_limit=gas_limit)
            if tx.nonce >= nonce_end:
                raise NonceTooHigh(tx.nonce, nonce_end - 1)
        except InvalidTransaction as refusal:
            field = f"transactions[{index}]"
            raise BodyMismatch(block.header.number, field, tx.hash, str(refusal)) from refusal


# --- after execution -----------------------------------------------------------------------------


def validate_result(block: Block, computed: Block) -> None:
    """Check transitions, body and every header field against the block computed here.

    What people sent went into both; what differs in the body is the protocol's own, of which the
    transitions say more.

    Raises StateMismatch if nothing but the state root differs.
    """
    height = computed.header.number
    difference = compare_transitions(block.transitions, computed.transitions)
    if difference is not None:
        raise TransitionMismatch(
            height, difference.field, difference.value, difference.expected, difference.position
        )
    _validate_transactions(block.transactions, computed)
    for name, was_field, expected_field in zip(
        block.extension._fields, block.extension, computed.extension, strict=True
    ):
        _same(height, f"extension.{name}", was_field, expected_field)
    for name, was_field, expected_field in zip(
        block.header._fields, block.header, computed.header, strict=True
    ):
        if name != "state_root":
            _same(height, name, was_field, expected_field)
    if block.header.state_root != computed.header.state_root:
        raise StateMismatch(
            height, "state_root", block.header.state_root, computed.header.state_root
        )
    _same(height, "hash", block.hash, computed.hash)


def _validate_transactions(transactions: Sequence[Transaction], computed: Block) -> None:
    height = computed.header.number
    for index, (was, expected) in enumerate(zip(transactions, computed.transactions, strict=False)):
        if was.raw != expected.raw:
            raise BodyMismatch(height, f"transactions[{index}]", was.hash, expected.hash)
    if len(transactions) != len(computed.transactions):
        raise BodyMismatch(height, "transactions", len(transactions), len(computed.transactions))


def _same(height: int, field: str, value: object, expected: object) -> None:
    if value != expected:
        raise HeaderMismatch(height, field, value, expected)


# --- behind a state root -------------------------------------------------------------------------


class FieldDifference(NamedTuple):
    """The first field of the state in which two results of one block differ."""

    field: str
    """"account 0x…, Account.balance", by record type and field."""
    value: object
    expected: object


def collect_changes(before: State, after: State) -> Changes:
    """Return what leads from one state to the other."""
    changes = Changes(accounts={}, records={})
    for each in walk(before, after):
        if isinstance(each, RecordDifference):
            changes.records.setdefault(each.address, {})[each.key] = each.after
        else:
            changes.accounts[each.address] = _account_of(each.after)
    return changes


def compare_changes(theirs: Changes, ours: Changes, parent: StateReader) -> FieldDifference | None:
    """Name the first field that two sets of changes to one parent state leave different.

    Records come before native accounts: what people own is in records.
    """
    for address in sorted(theirs.records.keys() | ours.records.keys()):
        rows, own = theirs.records.get(address, {}), ours.records.get(address, {})
        for key in sorted(rows.keys() | own.keys()):
            before = parent.get_record(address, key) if not (key in rows and key in own) else None
            value, expected = rows.get(key, before), own.get(key, before)
            if value != expected:
                return _compare_records(address, key, value, expected)
    for address in sorted(theirs.accounts.keys() | ours.accounts.keys()):
        leaf = parent.get_account(address)
        account = _account_of(theirs.accounts.get(address, leaf))
        own_account = _account_of(ours.accounts.get(address, leaf))
        where = f"account 0x{address.hex()}, native"
        if account is None or own_account is None:
            if account is not own_account:
                return FieldDifference(where, account or ABSENT, own_account or ABSENT)
            continue
        for name, was, wanted in zip(account._fields, account, own_account, strict=True):
            if was != wanted:
                return FieldDifference(f"{where} {name}", was, wanted)
    return None


def _account_of(account: AccountChange | AccountLeaf | None) -> AccountChange | None:
    if account is None:
        return None
    return AccountChange(account.nonce, account.balance, account.code_hash)


def _compare_records(
    address: Address, key: bytes, value: bytes | None, expected: bytes | None
) -> FieldDifference:
    place = keys.find_place(key)
    if place is None:
        where = f"account 0x{address.hex()}, record 0x{key.hex()}"
        return FieldDifference(where, _plain(value), _plain(expected))
    kind = place.codec.record_class.__name__
    where = f"{keys.name_subject(key)}, {kind}"
    was, wanted = _decode(place, value), _decode(place, expected)
    if was is None or wanted is None:
        return FieldDifference(where, _plain(value), _plain(expected))
    for name, left, right in zip(wanted._fields, was, wanted, strict=True):
        if left != right:
            return FieldDifference(f"{where}.{name}", left, right)
    raise AssertionError("two encodings of equal records: the codec is not canonical")


def _decode(place: keys.Place[Any, Any], data: bytes | None) -> Any:
    """Return the record, None if there is none or if it is none."""
    try:
        return None if data is None else place.codec.decode(data)
    except EncodingError:
        return None


def _plain(data: bytes | None) -> object:
    return ABSENT if data is None else data
