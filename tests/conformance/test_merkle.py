"""A refund list's root and proofs are OpenZeppelin's own, for lists of every shape."""

import json
import shutil
import subprocess

import pytest

from node.crypto import keccak256
from node.governance.refund import Refund, build_proof, compute_root, make_refund_tree
from node.units import Address, Quote
from tests.conformance.trade import HERE, NODE_MODULES


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 200])
def test_roots_and_proofs_are_those_of_openzeppelin(count: int) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "@openzeppelin" / "merkle-tree").is_dir():
        pytest.skip("merkle-tree is not here: `npm ci` in tests/conformance installs it")
    digests = [keccak256(index.to_bytes(2, "big")) for index in range(count)]
    refunds = [
        Refund(index, Address(digest[:20]), Quote(1 + int.from_bytes(digest[24:31], "big")))
        for index, digest in enumerate(digests)
    ]
    rows = [[index, "0x" + account.hex(), str(amount)] for index, account, amount in refunds]

    done = subprocess.run(
        [node, "merkle.mjs", json.dumps(rows)], cwd=HERE, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    theirs, tree = json.loads(done.stdout), make_refund_tree(refunds)
    assert theirs["root"] == "0x" + compute_root(refunds).hex()
    assert theirs["proofs"] == [
        ["0x" + sibling.hex() for sibling in build_proof(tree, index)] for index in range(count)
    ]
