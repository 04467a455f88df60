// An account's trades as of an earlier block
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getTrades", "params": [1, {"account": "0x93646ca7a11660af7d74e9b08ef0aa99d1a69d81"}, "earliest"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"market": 1, "symbol": "BTC-USD", "blockNumber": 0, "blockHash": "0x85a626d3723c9418e618f1dfd25e4db8ea2394046623fcf4febe24e2588c70b6", "knownFrom": 0, "trades": [], "next": null}}
