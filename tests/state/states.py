"""What the state tests share: tables, actors, strategies of changes, and a model in dicts."""

from collections.abc import Callable

from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from node.crypto import keccak256
from node.encoding import rlp_encode, rlp_int
from node.state.account import AccountChange, AccountLeaf, Changes
from node.state.kv import KeyValue, MemoryDb
from node.state.node import EMPTY_TRIE_ROOT
from node.state.reader import StateReader, StateTables
from node.state.store import Commit, StateStore
from node.units import Address, Hash32, Wei

TABLES = StateTables(nodes=b"n", roots=b"r", preimages=b"p", flat=b"f", meta=b"m")
CODE_HASH = Hash32(keccak256(b"a system contract"))
ADDRESSES = [Address(bytes(19) + bytes((n,))) for n in range(12)]
KEYS = [bytes(31) + bytes((n,)) for n in range(60)]

accounts = st.builds(
    AccountChange,
    st.integers(0, 300),
    st.one_of(st.just(0), st.integers(0, 2**128)).map(Wei),
    st.just(CODE_HASH),
)
records = st.one_of(
    st.none(),
    st.integers(0, 255).map(lambda n: bytes((n,))),
    st.binary(max_size=80),
    st.integers(0, 9).map(lambda n: bytes((n,)) * 700),
)


@st.composite
def changes(draw: Callable[[st.SearchStrategy[object]], object]) -> Changes:
    """Draw what one block does to a few addresses."""
    changed = draw(
        st.dictionaries(
            st.sampled_from(ADDRESSES), st.one_of(accounts, accounts, st.none()), max_size=8
        )
    )
    stored = draw(
        st.dictionaries(
            st.sampled_from(ADDRESSES),
            st.dictionaries(st.sampled_from(KEYS), records, max_size=25),
            max_size=4,
        )
    )
    assert isinstance(changed, dict)
    assert isinstance(stored, dict)
    removed = {address for address, change in changed.items() if change is None}
    return Changes(
        changed, {address: kept for address, kept in stored.items() if address not in removed}
    )


class Model:
    """The same state in dicts, its root by py-trie."""

    def __init__(self) -> None:
        self.accounts: dict[Address, AccountChange] = {}
        self.records: dict[Address, dict[bytes, bytes]] = {}
        self._leaves: dict[Address, AccountLeaf] | None = None

    def apply(self, changes: Changes) -> "Model":
        """Return the model after a commit's changes."""
        after = Model()
        after.accounts = dict(self.accounts)
        after.records = {address: dict(kept) for address, kept in self.records.items()}
        for address, change in changes.accounts.items():
            if change is None:
                after.accounts.pop(address, None)
                after.records.pop(address, None)
            else:
                after.accounts[address] = change
        for address, stored in changes.records.items():
            kept = after.records.setdefault(address, {})
            for key, record in stored.items():
                kept.pop(key, None)
                if record is not None:
                    kept[key] = record
            if kept and address not in after.accounts:
                empty = AccountChange(0, Wei(0), Hash32(keccak256(b"")))
                after.accounts[address] = empty
        after.records = {address: kept for address, kept in after.records.items() if kept}
        return after

    def storage_trie(self, address: Address) -> HexaryTrie:
        """Return py-trie's storage trie of an address."""
        trie = HexaryTrie({})
        for key, record in self.records.get(address, {}).items():
            trie[keccak256(key)] = rlp_encode(record)
        return trie

    def account_trie(self) -> HexaryTrie:
        """Return py-trie's account trie."""
        trie = HexaryTrie({})
        for address, leaf in self.leaves().items():
            trie[keccak256(address)] = rlp_encode(
                [rlp_int(leaf.nonce), rlp_int(leaf.balance), leaf.storage_root, leaf.code_hash]
            )
        return trie

    def leaves(self) -> dict[Address, AccountLeaf]:
        """Return the accounts as the trie has them, by address."""
        if self._leaves is None:
            self._leaves = {
                address: AccountLeaf(
                    account.nonce,
                    account.balance,
                    Hash32(self.storage_trie(address).root_hash),
                    account.code_hash,
                )
                for address, account in sorted(self.accounts.items())
            }
        return self._leaves

    def root(self) -> Hash32:
        """Return the state root by py-trie."""
        return Hash32(self.account_trie().root_hash)

    def assert_equals(self, state: StateReader) -> None:
        """Assert that a reader gives exactly this state."""
        leaves = self.leaves()
        assert list(state.accounts()) == list(leaves.items())
        for address in ADDRESSES:
            kept = self.records.get(address, {})
            assert list(state.records(address)) == sorted(kept.items())
            for key in KEYS[::7]:
                assert state.get_record(address, key) == kept.get(key)
            assert state.get_account(address) == leaves.get(address)


def new_store() -> tuple[MemoryDb, StateStore]:
    """Return an empty store with a cache so small that nodes are read back from the rows."""
    kv = MemoryDb()
    return kv, StateStore(kv, TABLES, cached_nodes_max=20)


def write(kv: KeyValue, commit: Commit) -> Hash32:
    """Write a commit as the chain does."""
    kv.write(commit.puts, commit.deletes)
    return commit.root


def grow(kv: KeyValue, store: StateStore, root: Hash32, changes: Changes) -> Hash32:
    """Commit and write."""
    return write(kv, store.commit(root, changes))


def only_records(address: Address, stored: dict[bytes, bytes | None]) -> Changes:
    """Return changes of one address's records."""
    return Changes({}, {address: stored})


def start(stored: dict[bytes, bytes | None]) -> tuple[MemoryDb, StateStore, Hash32]:
    """Return a store with one address's records in it, and its root."""
    kv, store = new_store()
    return kv, store, grow(kv, store, EMPTY_TRIE_ROOT, only_records(ADDRESSES[0], stored))
