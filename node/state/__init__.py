"""One authenticated state, under Ethereum's own roots (DESIGN section 3).

A Merkle Patricia trie of accounts, each with a storage trie of records; every library that
verifies eth_getProof verifies ours. Read top-down: `store` (commit, states by root), `reader` (a
state as of a root), `trie` (the batched insertion), `node` (the bytes of one node), `account`;
beside them `flat` (the head's records by key), `proof`, `difference`, `ordered` (the tries of a
block's body), `kv` (the disk).

It promises that nodes are never overwritten: a state is a root, history and branches cost nothing
extra, and a commit is only rows until somebody writes them. Every node is hashed when it is read
from disk, and compared with the hash under which its parent knows it. It knows no record and no
rule. Nodes are stored under the number of their commit, not under their hash, because random keys
cost LevelDB twice the time and six times the disk at a million keys; the hash stays the name.
"""
