"""What the front asks of the core: the seam between the two processes of DESIGN section 7.

The front (`rpc`) speaks HTTP and JSON; the core owns the database, the mempool and sealing. Here
both share a process. Every argument and result is plain data, so that a Unix socket with
MessagePack can stand in the middle without a change above or below it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from node.chain.block import Block, Receipt
from node.chain.transaction import Transaction
from node.units import Address, Hash32, Height, Wei


class Located(NamedTuple):
    """A transaction in a canonical block."""

    block: Block
    index: int
    receipt: Receipt


class CallRequest(NamedTuple):
    """The arguments of eth_call and eth_estimateGas."""

    sender: Address
    to: Address | None
    """None asks for contract creation, which is refused."""
    value: Wei
    data: bytes
    gas_limit: int | None
    max_fee: Wei
    """0: no fee is charged, as in geth's eth_call."""


class CallResult(NamedTuple):
    """What a call did on a throw-away overlay."""

    reverted: bool
    output: bytes
    """Return data, or the ABI error."""
    gas_used: int


class NativeAccount(NamedTuple):
    """The state trie's leaf, nonce floor applied to `nonce`."""

    nonce: int
    balance: Wei
    code: bytes
    storage_root: Hash32
    code_hash: Hash32


class Heads(NamedTuple):
    """The three heads of DESIGN section 6."""

    latest: Block
    safe: Block
    finalized: Block


Listener = Callable[[Block, Sequence[Receipt]], None]
"""Called in the core's thread with each block that became head."""


class Core:
    """PLACEHOLDER: the signatures that the front may rely on."""

    chain_id: int
    genesis_hash: Hash32
    base_fee: Wei
    gas_limit: int
    block_time_ms: int

    def heads(self) -> Heads: ...                                   # cached, immediate
    def subscribe_heads(self, listener: Listener) -> None: ...
    def subscribe_pending(self, listener: Callable[[Transaction], None]) -> None: ...
    async def block_by_number(self, height: Height) -> Block | None: ...
    async def block_by_hash(self, block_hash: Hash32) -> Block | None: ...
    async def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None: ...
    async def transaction(self, tx_hash: Hash32) -> Located | None: ...
    def pending_transaction(self, tx_hash: Hash32) -> Transaction | None: ...
    def pending_nonce(self, address: Address) -> int: ...
    async def submit(self, raws: Sequence[bytes]) -> Sequence[Hash32 | Exception]: ...
    async def account(self, address: Address, block: Block) -> NativeAccount: ...
