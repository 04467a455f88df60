"""Ethereum JSON-RPC over HTTP and WebSocket, on one port and path.

What it is: the front of the node. `server` takes connections, `origin` says who may speak,
`dispatch` takes a request or a batch apart, `methods` is the table of every method, `hex`, `blocks`
and `parameters` read arguments, `eth`, `fees`, `calls`, `logs`, `filters`, `subscriptions` and
`perp` answer, `render` writes answers to the letter of Ethereum's execution-apis.

What it promises: whatever arrives, a well-formed answer leaves, in geth's words, because wallets
parse them; a bad request, a slow reader or a closed connection costs nobody else anything.

What it does not do: hold state. It reads the chain and hands transactions in through
`node.consensus.core.Core` alone, so it can be a process of its own. What it remembers (filters,
subscriptions) dies with it, and libraries know how to make it anew.

Read in this order: `methods`, `dispatch`, `eth`, `render`, `server`.
"""
