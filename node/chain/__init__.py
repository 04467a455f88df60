"""The chain: what a block is, how it changes the state, and how both are kept.

Read `execution` first: `apply_block` is the protocol as a list of calls, and the only way to change
state. `transaction`, `block` and `system_transaction` are bytes and hashes, exactly Ethereum's, so
that other people's libraries decode and verify them; they know no state. `keys` says where each
record lives, `ledger` gives the rules their view of it. `store` puts a block on disk in one synced
batch, `blockchain` holds the head, `validation` compares somebody's block with our own.

What is decoded here has one form only: decoding refuses whatever would encode to other bytes.
"""
