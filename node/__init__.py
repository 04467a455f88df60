"""perpnode: a local perpetual-futures appchain to run, trade on, break, halt and rewind.

Read in this order:

1. `node.chain.execution`   a block applied, as a list of calls in protocol order
2. `node.perp`              the rules in words, then each in a module of its own
3. `node.perp.ledger`       what rules read and write; `node.chain.ledger` gives it to them
4. `node.system`            calldata in, rule calls, logs and typed errors out
5. `node.state.store`       the one authenticated state under all of it
6. `node.service`           the parts joined into a process; `node.rpc.methods` is what it answers

Each layer imports only those below it: cli, devnet, service, rpc, consensus, snapshot, chain,
system, then state, perp and governance side by side, crypto and encoding, units, errors, config.
"""
