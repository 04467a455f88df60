"""Refund lists: one root a list, a proof for every row and nothing else, one form of the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import keccak256
from node.errors import RefundFileError
from node.governance.refund import (
    AMOUNT_MAX,
    HEADER,
    Refund,
    build_proof,
    compute_leaf,
    compute_root,
    make_refund_tree,
    make_tree,
    parse_refunds,
    render_refunds,
    verify_proof,
)
from node.units import Address, Hash32, Quote

FIRST = Address(b"\x11" * 20)
SECOND = Address(b"\x22" * 20)
CHECKSUMMED = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

lists = st.lists(
    st.tuples(st.binary(min_size=20, max_size=20), st.integers(1, AMOUNT_MAX)),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[0],
).map(
    lambda rows: tuple(
        Refund(index, Address(account), Quote(amount))
        for index, (account, amount) in enumerate(rows)
    )
)


def test_a_leaf_hashes_the_abi_words_twice() -> None:
    words = bytes(31) + b"\x07" + bytes(12) + FIRST + bytes(30) + b"\x01\x00"

    assert compute_leaf(Refund(7, FIRST, Quote(256))) == keccak256(keccak256(words))


def test_the_tree_is_the_one_that_openzeppelin_documents() -> None:
    # The README of @openzeppelin/merkle-tree: (address, uint256), 5 and 2.5 ether.
    rows = [(FIRST, 5 * 10**18), (SECOND, 25 * 10**17)]
    leaves = [
        keccak256(keccak256(bytes(12) + account + amount.to_bytes(32, "big")))
        for account, amount in rows
    ]

    root = make_tree(leaves).root

    assert root.hex() == "d4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77"


def test_the_root_of_one_refund_is_its_leaf_and_needs_no_proof() -> None:
    refund = Refund(0, FIRST, Quote(5))
    tree = make_refund_tree([refund])

    assert compute_root([refund]) == compute_leaf(refund)
    assert build_proof(tree, 0) == ()
    assert verify_proof(tree.root, refund, ())


@given(lists)
def test_every_row_has_a_proof_and_nothing_else_has(refunds: tuple[Refund, ...]) -> None:
    tree = make_refund_tree(refunds)
    for refund in refunds:
        proof = build_proof(tree, refund.index)

        assert verify_proof(tree.root, refund, proof)
        for wrong in (
            refund._replace(index=refund.index + 1),
            refund._replace(account=Address(bytes(a ^ 1 for a in refund.account))),
            refund._replace(amount=Quote(refund.amount + 1)),
        ):
            assert not verify_proof(tree.root, wrong, proof)
        assert not verify_proof(tree.root, refund, (*proof, Hash32(bytes(32))))
        assert len(refunds) == 1 or not verify_proof(tree.root, refund, proof[:-1])


@given(lists)
def test_a_list_comes_back_from_its_file(refunds: tuple[Refund, ...]) -> None:
    assert parse_refunds(render_refunds(refunds), "refunds.csv") == refunds


def test_a_file_may_be_in_small_letters_and_end_without_a_newline() -> None:
    text = f"{HEADER}\n0,{CHECKSUMMED.lower()},{AMOUNT_MAX}"

    assert parse_refunds(text, "refunds.csv") == (
        Refund(0, Address(bytes.fromhex(CHECKSUMMED[2:])), AMOUNT_MAX),
    )


def test_a_file_is_written_in_its_one_form() -> None:
    refund = Refund(0, Address(bytes.fromhex(CHECKSUMMED[2:])), Quote(12))

    assert render_refunds([refund]) == f"index,account,amount\n0,{CHECKSUMMED},12\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.csv, line 1: is '', must be 'index,account,amount'"),
        ("account,amount\n", "r.csv, line 1: is 'account,amount', must be 'index,account,amount'"),
        (f"{HEADER}\n", "r.csv: has no refund below its header: nobody is to be paid"),
        (f"{HEADER}\n0,{CHECKSUMMED}\n", "r.csv, line 2: has 2 columns, must have 3"),
        (f"{HEADER}\n\n", "r.csv, line 2: has 1 columns, must have 3"),
        (f"{HEADER}\n0,{CHECKSUMMED},1,2\n", "r.csv, line 2: has 4 columns, must have 3"),
        (f"{HEADER}\n1,{CHECKSUMMED},1\n", "r.csv, line 2: index is '1', must be 0"),
        (f"{HEADER}\n00,{CHECKSUMMED},1\n", "r.csv, line 2: index is '00', must be 0"),
        (f"{HEADER}\n0,{CHECKSUMMED[:-1]},1\n", f"account is '{CHECKSUMMED[:-1]}', must be 0x"),
        (f"{HEADER}\n0,{CHECKSUMMED[2:]},1\n", f"account is '{CHECKSUMMED[2:]}', must be 0x"),
        (
            f"{HEADER}\n0,{CHECKSUMMED.replace('f39F', 'f39f')},1\n",
            f"its checksum says {CHECKSUMMED}",
        ),
        (f"{HEADER}\n0,{CHECKSUMMED},0\n", "amount is '0', must be an integer of atoms from 1"),
        (f"{HEADER}\n0,{CHECKSUMMED},01\n", "amount is '01', must be"),
        (f"{HEADER}\n0,{CHECKSUMMED},-1\n", "amount is '-1', must be"),
        (f"{HEADER}\n0,{CHECKSUMMED},1.5\n", "amount is '1.5', must be"),
        (f"{HEADER}\n0,{CHECKSUMMED},1\r\n", r"amount is '1\r', must be"),
        (f"{HEADER}\n0,{CHECKSUMMED},{2**63}\n", f"amount is '{2**63}', must be"),
        (
            f"{HEADER}\n0,{CHECKSUMMED},1\n1,{CHECKSUMMED.lower()},1\n",
            f"r.csv, line 3: {CHECKSUMMED} is on line 2: add the two amounts up",
        ),
    ],
)
def test_a_file_that_is_wrong_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(RefundFileError) as refused:
        parse_refunds(text, "r.csv")

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
