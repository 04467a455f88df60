"""A whole state as one text: out of one chain, into another of the same genesis (development).

What `anvil_dumpState` hands out is gzip over JSON: the block's time, every account, every record by
its key. `LoadState` carries it whole, so that whoever receives the block can execute it: the block
begins with the loaded state in place of its parent's. What belongs to the chain and not to its
people stays the chain's: who governs and validates and what they did, the branch, the height. No
nonce goes back: where the chain is further, it stays so. The result must stand as every state does.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from node.chain import keys
from node.chain.block import Block
from node.chain.development import NONE
from node.encoding import load_json
from node.errors import EncodingError, OperationRefused
from node.governance.fork import compute_nonce_floor
from node.perp.oracle import Oracle
from node.perp.status import ChainStatus, MarketStatus
from node.state.account import EMPTY_CODE_HASH, AccountChange, AccountLeaf, Changes
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import StateReader
from node.system.contracts import CONTRACTS, GOVERNANCE
from node.system.token import PermitNonce
from node.units import Address, Hash32, Height, TimeMs, Wei

FORMAT = 1
CONTENT_MAX = 4 << 20
"""Bytes of gzip that a block may carry."""
TEXT_MAX = 64 << 20
"""Bytes of JSON inside."""
_CHAIN_S_OWN = (
    keys.COUNCIL,
    keys.VALIDATORS,
    keys.AUDIT_LOG,
    keys.AUDIT_ENTRIES,
    keys.ACTION_USES,
    keys.MAINTENANCE,
    keys.FORKS,
)
"""Who governs and validates, and what they did: never loaded."""
_OWN_PREFIXES = frozenset(place.prefix for place in _CHAIN_S_OWN)


class LoadedAccount(NamedTuple):
    """An account with all its records."""

    nonce: int
    balance: int
    code_hash: bytes
    records: dict[bytes, bytes]


class Dump(NamedTuple):
    """A state as it is handed out."""

    genesis_hash: bytes
    time_ms: TimeMs
    accounts: dict[Address, LoadedAccount]


class LoadedState:
    """A state in memory, read as any other; its root is known when it is written."""

    def __init__(self, accounts: dict[Address, LoadedAccount]) -> None:
        self._accounts = accounts

    @property
    def root(self) -> Hash32:
        """No root: nobody compares it."""
        return EMPTY_TRIE_ROOT

    def get_account(self, address: Address) -> AccountLeaf | None:
        """Return an account, None if there is none."""
        found = self._accounts.get(address)
        return None if found is None else _leaf_of(found)

    def get_record(self, address: Address, key: bytes) -> bytes | None:
        """Return the record under a 32-byte key, None if there is none."""
        found = self._accounts.get(address)
        return None if found is None else found.records.get(key)

    def records(self, address: Address, key_prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, record) of an address's keys that begin so, ascending by key."""
        found = self._accounts.get(address)
        rows = {} if found is None else found.records
        return iter(sorted(row for row in rows.items() if row[0].startswith(key_prefix)))

    def accounts(self) -> Iterator[tuple[Address, AccountLeaf]]:
        """Return every account, ascending by address."""
        return iter([(each, _leaf_of(self._accounts[each])) for each in sorted(self._accounts)])


# --- out ------------------------------------------------------------------------------------------


def dump_state(state: StateReader, block: Block, genesis_hash: Hash32) -> bytes:
    """Return the gzip that holds a block's state; OperationRefused if it is too long to load."""
    document = {
        "format": FORMAT,
        "genesis": genesis_hash.hex(),
        "block": {"number": block.header.number, "timeMs": block.extension.time_ms},
        "accounts": {
            address.hex(): {
                "nonce": leaf.nonce,
                "balance": str(leaf.balance),
                "codeHash": leaf.code_hash.hex(),
                "records": {key.hex(): record.hex() for key, record in state.records(address)},
            }
            for address, leaf in state.accounts()
        },
    }
    content = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
    if len(content) > CONTENT_MAX:
        raise OperationRefused(
            f"the state takes {len(content)} bytes, {CONTENT_MAX} can be loaded: copy the data "
            "directory, or use perpnode snapshot"
        )
    return content


# --- in -------------------------------------------------------------------------------------------


def parse_dump(content: bytes) -> Dump:
    """Return what a gzip holds; raise OperationRefused for anything else."""
    try:
        if len(content) > CONTENT_MAX:
            raise ValueError(f"{len(content)} bytes, at most {CONTENT_MAX}")
        inflate = zlib.decompressobj(wbits=31)
        text = inflate.decompress(content, TEXT_MAX)
        if not inflate.eof or inflate.unused_data:
            raise ValueError(f"not one whole gzip of at most {TEXT_MAX} bytes")
        document = load_json(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, this perpnode reads {FORMAT}")
        return Dump(
            bytes.fromhex(document["genesis"]),
            TimeMs(_integer(document["block"]["timeMs"])),
            {_address(name): _parse_account(each) for name, each in document["accounts"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise OperationRefused(f"no state of anvil_dumpState: {error}") from None


def open_loaded(dump: Dump, state: StateReader, parent: Block) -> LoadedState:
    """Return the state that a successor of `parent` begins with in place of its own."""
    accounts = dict(dump.accounts)
    end = compute_nonce_floor(parent.extension.fork_id + 1)
    for address, account in dump.accounts.items():
        code_hash = CONTRACTS[address].code_hash if address in CONTRACTS else EMPTY_CODE_HASH
        if account.nonce >= end or account.code_hash != code_hash:
            raise OperationRefused(f"account 0x{address.hex()} has a nonce or code of no account")
    for address, leaf in state.accounts():
        loaded = accounts.get(address, LoadedAccount(0, 0, leaf.code_hash, {}))
        accounts[address] = loaded._replace(nonce=max(loaded.nonce, leaf.nonce))
    for address, account in accounts.items():
        current = dict(state.records(address))
        records = {
            key: _adapt(key, record, current.get(key), parent)
            for key, record in account.records.items()
            if address != GOVERNANCE or key[:1] not in _OWN_PREFIXES
        }
        if address == GOVERNANCE:
            records |= {key: row for key, row in current.items() if key[:1] in _OWN_PREFIXES}
            records |= _keep_offset(records, current)
        kept = {
            key: row
            for key, row in current.items()
            if key[:1] == keys.PERMIT_NONCES.prefix and key not in records
        }
        accounts[address] = account._replace(records=records | kept)
    return LoadedState(accounts)


def compute_changes(state: StateReader, loaded: LoadedState) -> Changes:
    """Return what leads from a state to the loaded one."""
    changes = Changes(accounts={}, records={})
    for address, leaf in loaded.accounts():
        if leaf != _without_root(state.get_account(address)):
            changes.accounts[address] = AccountChange(leaf.nonce, leaf.balance, leaf.code_hash)
        before, after = dict(state.records(address)), dict(loaded.records(address))
        rows: dict[bytes, bytes | None] = {
            key: after.get(key)
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        }
        if rows:
            changes.records[address] = rows
    return changes


def merge_changes(first: Changes, then: Changes) -> Changes:
    """Return both, the later ones winning."""
    records = {address: dict(rows) for address, rows in first.records.items()}
    for address, rows in then.records.items():
        records.setdefault(address, {}).update(rows)
    return Changes(first.accounts | then.accounts, records)


def _keep_offset(records: dict[bytes, bytes], current: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the record of what was minted, with the time offset that this chain has."""
    key, codec = keys.DEVELOPMENT.key(None), keys.DEVELOPMENT.codec
    loaded, own = (
        NONE if key not in rows else codec.decode(rows[key]) for rows in (records, current)
    )
    return {key: codec.encode(loaded._replace(time_offset_ms=own.time_offset_ms))}


def _adapt(key: bytes, record: bytes, current: bytes | None, parent: Block) -> bytes:
    """Return a record as it stands on this chain: of its branch, at its height, no nonce back."""
    place = keys.find_place(key)
    if place is None:
        raise OperationRefused(f"0x{key.hex()} is no key of any record")
    try:
        found: Any = place.codec.decode(record)
    except EncodingError as error:
        raise OperationRefused(f"record 0x{key.hex()}: {error}") from None
    height = parent.header.number
    if isinstance(found, ChainStatus):
        assert current is not None, "genesis writes it"
        own = keys.CHAIN_STATUS.codec.decode(current)
        found = found._replace(
            since_height=min(found.since_height, height),
            halt_height=Height(0),
            fork_id=own.fork_id,
            dev_epoch=own.dev_epoch,
            decrees=(),
        )
    elif isinstance(found, MarketStatus):
        found = found._replace(since_height=min(found.since_height, height))
    elif isinstance(found, Oracle):
        found = found._replace(
            jump=tuple(
                each._replace(since_height=min(each.since_height, height)) for each in found.jump
            )
        )
    elif isinstance(found, PermitNonce) and current is not None:
        found = max(found, keys.PERMIT_NONCES.codec.decode(current))
    return place.codec.encode(found)


def _parse_account(value: Any) -> LoadedAccount:
    balance = value["balance"]
    if not isinstance(balance, str) or not balance.isascii() or not balance.isdigit():
        raise ValueError("a balance is decimal digits")
    code_hash = bytes.fromhex(value["codeHash"])
    rows = {bytes.fromhex(key): bytes.fromhex(row) for key, row in value["records"].items()}
    if len(balance) > 80 or len(code_hash) != 32 or any(len(key) != 32 for key in rows):
        raise ValueError("an account or a key of another size")
    return LoadedAccount(_integer(value["nonce"]), int(balance), code_hash, rows)


def _address(name: str) -> Address:
    address = bytes.fromhex(name)
    if len(address) != 20:
        raise ValueError(f"{name[:60]} is no address")
    return Address(address)


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a number out of range")
    return value


def _leaf_of(account: LoadedAccount) -> AccountLeaf:
    return AccountLeaf(
        account.nonce, Wei(account.balance), EMPTY_TRIE_ROOT, Hash32(account.code_hash)
    )


def _without_root(leaf: AccountLeaf | None) -> AccountLeaf | None:
    return None if leaf is None else leaf._replace(storage_root=EMPTY_TRIE_ROOT)
