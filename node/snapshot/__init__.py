"""Snapshots of a state that validators sign, and the fork that begins at one (RECOVERY).

A snapshot is a directory, `<fork_id>-<height>/`: a manifest under one hash, chunks of (key, leaf),
signatures. All nodes make equal bytes of one state. Whoever restores one rebuilds the root with no
more than a chunk in memory and believes nothing but hashes and signatures. A fork plan is one JSON
file; the fork block is a pure function of (snapshot, plan), so nobody proposes it.

It knows nothing of sockets and threads of others: `consensus` carries signatures and plans, `cli`
calls it on the data directory of a stopped node.
"""
