"""Ethereum JSON-RPC over HTTP and WebSocket, on one port and path.

What it is, in two halves. The front: `server` and `http` take connections, `origin` says who may
speak, `front` keeps answers while the heads stand and recovers who signed. The core's side: `desk`
answers, `dispatch` takes a request or a batch apart, `methods` is the table of every method, `hex`,
`blocks` and `parameters` read arguments, `eth`, `fees`, `calls`, `logs`, `filters`, `subscriptions`
and `perp` answer, `history` what was and `feeds` what happens, `render` writes answers to the
letter of Ethereum's execution-apis, `openrpc` describes all of it (`schema`, `schemas`).

Between them stands `backend`. A sequencer's front has a process of its own (`front_process`),
joined by a Unix socket (`wire`, `front_end`, `core_end`); elsewhere both share one. `serving` does
either.

What it promises: whatever arrives, a well-formed answer leaves, in geth's words, because wallets
parse them; a bad request, a slow reader or a closed connection costs nobody else anything.

What it does not do: hold state. It reads the chain and hands transactions in through
`node.consensus.core.Core` alone. What it remembers (filters, subscriptions) dies with it, and
libraries know how to make it anew.

Read in this order: `methods`, `dispatch`, `eth`, `render`, `backend`, `front`, `server`.
"""
