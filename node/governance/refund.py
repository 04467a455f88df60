"""Refund lists: who gets how much back, the Merkle root that the council signs, and the proofs.

A list is what `perpnode audit` finds and what `refunds.csv` holds. Its root commits to every row,
so a council signs one number for any number of accounts, and whoever has the list can prove a row.
The tree is the one of OpenZeppelin's StandardMerkleTree for the types uint256, address, uint256:
a leaf is hashed twice, so that no inner node passes for one, leaves are sorted, and so is each pair
before it is hashed. OpenZeppelin's MerkleProof.verify takes these proofs as they are.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from node.crypto import checksum_address, keccak256
from node.errors import RefundFileError
from node.units import Address, Hash32, Quote

HEADER = "index,account,amount"
"""The first line of a refund file; a row has a line each, amounts in atoms."""
AMOUNT_MAX = Quote(2**63 - 1)
"""What a record and an int64 hold; more than there is."""


class Refund(NamedTuple):
    """One row of a refund list; of a compensation an account gets one."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    """Its place in the list, from 0."""
    account: Address
    amount: Quote
    """In atoms, positive."""


class RefundTree(NamedTuple):
    """The Merkle tree of a list."""

    nodes: tuple[Hash32, ...]
    """The root first; the children of node i are nodes 2·i + 1 and 2·i + 2."""
    places: tuple[int, ...]
    """Where among the nodes each refund's leaf is, by index."""

    @property
    def root(self) -> Hash32:
        """Return what stands for the whole list."""
        return self.nodes[0]


# --- the tree -------------------------------------------------------------------------------------


def compute_leaf(refund: Refund) -> Hash32:
    """Return a refund's leaf: keccak256(keccak256(abi.encode(index, account, amount)))."""
    index, account, amount = refund
    words = index.to_bytes(32, "big") + bytes(12) + account + amount.to_bytes(32, "big")
    return keccak256(keccak256(words))


def make_tree(leaves: Sequence[Hash32]) -> RefundTree:
    """Return the tree of these leaves, at least one, in the order of the list."""
    count = len(leaves)
    assert count, "an empty list has no root"
    nodes = [Hash32(bytes(32))] * (2 * count - 1)
    places = [0] * count
    for position, index in enumerate(sorted(range(count), key=lambda index: leaves[index])):
        place = len(nodes) - 1 - position
        nodes[place], places[index] = leaves[index], place
    for place in range(count - 2, -1, -1):
        nodes[place] = hash_pair(nodes[2 * place + 1], nodes[2 * place + 2])
    return RefundTree(tuple(nodes), tuple(places))


def make_refund_tree(refunds: Sequence[Refund]) -> RefundTree:
    """Return the tree of a list with at least one refund."""
    return make_tree([compute_leaf(refund) for refund in refunds])


def compute_root(refunds: Sequence[Refund]) -> Hash32:
    """Return the root that the council signs for a list with at least one refund."""
    return make_refund_tree(refunds).root


def build_proof(tree: RefundTree, index: int) -> tuple[Hash32, ...]:
    """Return the siblings from a refund's leaf up to the root."""
    proof, place = [], tree.places[index]
    while place:
        proof.append(tree.nodes[place + 1 if place % 2 else place - 1])
        place = (place - 1) // 2
    return tuple(proof)


def verify_proof(root: Hash32, refund: Refund, proof: Sequence[Hash32]) -> bool:
    """Tell whether exactly this refund is in the list of the root."""
    node = compute_leaf(refund)
    for sibling in proof:
        node = hash_pair(node, sibling)
    return node == root


def hash_pair(left: Hash32, right: Hash32) -> Hash32:
    """Return the node above two others, whichever is left."""
    return keccak256(left + right if left < right else right + left)


# --- the file -------------------------------------------------------------------------------------


def render_refunds(refunds: Sequence[Refund]) -> str:
    """Return a list as the text of its file."""
    rows = [f"{index},{checksum_address(account)},{amount}" for index, account, amount in refunds]
    return "\n".join([HEADER, *rows, ""])


def parse_refunds(text: str, name: str) -> tuple[Refund, ...]:
    """Return the list of a file's text; RefundFileError says in one line what is wrong, and where.

    Strict, so that one list has one root: the header, rows by index from 0, each account once,
    amounts in atoms from 1 up, nothing else.
    """
    header, *rows = text.removesuffix("\n").split("\n")
    if header != HEADER:
        raise RefundFileError(f"{name}, line 1: is {header[:80]!r}, must be {HEADER!r}")
    if not rows:
        raise RefundFileError(f"{name}: has no refund below its header: nobody is to be paid")
    refunds: list[Refund] = []
    lines: dict[Address, int] = {}
    for index, row in enumerate(rows):
        where = f"{name}, line {index + 2}"
        refund = _parse_row(row, index, where)
        first = lines.setdefault(refund.account, index + 2)
        if first != index + 2:
            account = checksum_address(refund.account)
            raise RefundFileError(f"{where}: {account} is on line {first}: add the two amounts up")
        refunds.append(refund)
    return tuple(refunds)


def _parse_row(row: str, index: int, where: str) -> Refund:
    columns = row.split(",")
    if len(columns) != 3:
        raise RefundFileError(f"{where}: has {len(columns)} columns, must have 3: {HEADER}")
    if columns[0] != str(index):
        raise RefundFileError(f"{where}: index is {columns[0]!r}, must be {index}: rows by index")
    return Refund(index, _parse_account(columns[1], where), _parse_amount(columns[2], where))


def _parse_account(column: str, where: str) -> Address:
    if not re.fullmatch("0x[0-9a-fA-F]{40}", column):
        raise RefundFileError(f"{where}: account is {column!r}, must be 0x and 40 hex digits")
    account = Address(bytes.fromhex(column[2:]))
    expected = checksum_address(account)
    if column not in (expected, expected.lower()):
        raise RefundFileError(
            f"{where}: account is {column}, its checksum says {expected}: check every digit"
        )
    return account


def _parse_amount(column: str, where: str) -> Quote:
    is_number = re.fullmatch("[1-9][0-9]{0,18}", column)
    if not is_number or int(column) > AMOUNT_MAX:
        raise RefundFileError(
            f"{where}: amount is {column!r}, must be an integer of atoms from 1 to {AMOUNT_MAX}"
        )
    return Quote(int(column))
