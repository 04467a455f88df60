"""System transactions: ordinary bytes that every library decodes, the same at every node."""

import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from node.chain.system_transaction import (
    SYSTEM_ACCOUNT,
    SYSTEM_KEY,
    build_system_transaction,
)
from node.chain.transaction import decode_transaction
from node.crypto import checksum_address
from node.system.contracts import GOVERNANCE

CHAIN_ID = 20260119


@given(st.integers(1, 2**63), st.integers(0, 2**63), st.binary(max_size=100))
def test_eth_account_recovers_the_published_sender(chain_id: int, nonce: int, data: bytes) -> None:
    transaction = build_system_transaction(chain_id, nonce, data)

    assert Account.recover_transaction(transaction.raw) == checksum_address(SYSTEM_ACCOUNT)
    assert decode_transaction(transaction.raw) == transaction
    assert (transaction.chain_id, transaction.nonce, transaction.data) == (chain_id, nonce, data)


def test_a_system_transaction_is_a_legacy_one_that_costs_nothing() -> None:
    fields = rlp.decode(build_system_transaction(CHAIN_ID, 3, b"plan").raw)

    assert fields[:6] == [b"\3", b"", b"", GOVERNANCE, b"", b"plan"]
    assert int.from_bytes(fields[6], "big") in (35 + 2 * CHAIN_ID, 36 + 2 * CHAIN_ID)


def test_every_node_builds_the_same_bytes() -> None:
    first = build_system_transaction(CHAIN_ID, 0, b"")

    assert first == build_system_transaction(CHAIN_ID, 0, b"")
    assert first.hash.hex() == "66ea15c95ea8bbe3af77f65b418ac82a2c905409fac6f718f00bba3bd9718c6a"


def test_the_published_key_and_account_never_change() -> None:
    assert SYSTEM_KEY.hex() == "09251aabc6a11119ccab9fac2591dd4526246ee37beb924d62d45e218fc2e243"
    assert checksum_address(SYSTEM_ACCOUNT) == Account.from_key(SYSTEM_KEY).address
    assert SYSTEM_ACCOUNT.hex() == "4e31591a266888fc5897f9893d4f92d830b33876"
