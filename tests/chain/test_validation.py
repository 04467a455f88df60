"""What a state root hides: the first field in which two sets of changes differ."""

import pytest

from node.chain import keys
from node.chain.validation import ABSENT, FieldDifference, compare_changes
from node.perp.account import EXCHANGE, Account
from node.state.store import EMPTY_CODE_HASH, AccountChange, Changes, StateReader
from node.system.contracts import GOVERNANCE
from node.units import Address, MarketId, OrderId, Quote, Wei
from tests.helpers.chain import Chain, Person, make_genesis

MAKER = Person("maker").address
OUTSIDER = Address(b"\x11" * 20)
KEY = keys.ACCOUNTS.key(MAKER)


def encode(balance: int) -> bytes:
    return keys.ACCOUNTS.codec.encode(Account(Quote(balance), ()))


def changes(
    records: dict[bytes, bytes | None] | None = None,
    accounts: dict[Address, AccountChange | None] | None = None,
) -> Changes:
    return Changes(accounts or {}, {EXCHANGE: records} if records else {})


@pytest.fixture(scope="module")
def parent() -> StateReader:
    return Chain(make_genesis([Person("maker")], margin=50)).blockchain.head.state


def test_equal_changes_have_no_difference(parent: StateReader) -> None:
    assert compare_changes(changes({KEY: encode(7)}), changes({KEY: encode(7)}), parent) is None


def test_a_record_is_named_by_its_field(parent: StateReader) -> None:
    difference = compare_changes(changes({KEY: encode(7)}), changes({KEY: encode(8)}), parent)

    assert difference == FieldDifference(f"account 0x{MAKER.hex()}, Account.balance", 7, 8)


def test_a_record_that_one_side_left_alone_is_its_parents(parent: StateReader) -> None:
    field = f"account 0x{MAKER.hex()}, Account.balance"

    assert compare_changes(changes({KEY: encode(7)}), changes(), parent) == FieldDifference(
        field, 7, 50
    )
    assert compare_changes(changes(), changes({KEY: encode(7)}), parent) == FieldDifference(
        field, 50, 7
    )
    assert compare_changes(changes({KEY: encode(50)}), changes(), parent) is None


def test_a_record_that_one_side_removed_is_absent(parent: StateReader) -> None:
    difference = compare_changes(changes({KEY: None}), changes(), parent)

    assert difference == FieldDifference(f"account 0x{MAKER.hex()}, Account", ABSENT, encode(50))


def test_bytes_that_are_no_record_are_told_as_they_are(parent: StateReader) -> None:
    difference = compare_changes(changes({KEY: b"junk"}), changes(), parent)

    assert difference == FieldDifference(f"account 0x{MAKER.hex()}, Account", b"junk", encode(50))


def test_a_key_of_no_record_is_told_as_it_is(parent: StateReader) -> None:
    key = b"\xfe" * 32

    difference = compare_changes(changes({key: b"x"}), changes(), parent)

    assert difference == FieldDifference(
        f"account 0x{EXCHANGE.hex()}, record 0x{key.hex()}", b"x", ABSENT
    )


def test_a_native_account_is_named_by_its_field(parent: StateReader) -> None:
    account = AccountChange(3, Wei(5), EMPTY_CODE_HASH)
    theirs = changes(accounts={OUTSIDER: account})

    assert compare_changes(
        theirs, changes(accounts={OUTSIDER: account._replace(nonce=4)}), parent
    ) == FieldDifference(f"account 0x{OUTSIDER.hex()}, native nonce", 3, 4)
    assert compare_changes(
        theirs, changes(accounts={OUTSIDER: account._replace(balance=Wei(6))}), parent
    ) == FieldDifference(f"account 0x{OUTSIDER.hex()}, native balance", 5, 6)
    assert compare_changes(theirs, changes(), parent) == FieldDifference(
        f"account 0x{OUTSIDER.hex()}, native", account, ABSENT
    )


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        (keys.ACCOUNTS.key(MAKER), f"account 0x{MAKER.hex()}"),
        (keys.POSITIONS.key((MAKER, MarketId(3))), f"market 3, account 0x{MAKER.hex()}"),
        (keys.FUNDINGS.key(MarketId(2)), "market 2"),
        (keys.ORDERS.key((MarketId(2), OrderId(77))), "market 2, 77"),
        (keys.CHAIN_STATUS.key(None), "chain"),
        (keys.ALLOWANCES.key((MAKER, OUTSIDER)), f"account 0x{MAKER.hex()}"),
    ],
)
def test_a_key_names_its_subject(key: bytes, subject: str) -> None:
    assert keys.name_subject(key) == subject


def test_every_kind_of_record_is_found_by_its_key() -> None:
    assert keys.find_place(keys.VALIDATORS.key(None)) is keys.VALIDATORS
    assert keys.find_place(keys.ORDERS.key((MarketId(1), OrderId(1)))) is keys.ORDERS
    assert keys.find_place(b"\xfe" * 32) is None
    assert keys.VALIDATORS.address(None) == GOVERNANCE
    places = [each for each in vars(keys).values() if isinstance(each, keys.Place)]
    assert len({each.prefix for each in places}) == len(places)
