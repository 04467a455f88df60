// An account's trades as of an earlier block
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getTrades", "params": [1, {"account": "0x93646ca7a11660af7d74e9b08ef0aa99d1a69d81"}, "earliest"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"market": 1, "symbol": "BTC-USD", "blockNumber": 0, "blockHash": "0xcc0c1995d120fd62aa3cde61905a99c59206d091a5dfa27720d71fbedab80acd", "knownFrom": 0, "trades": [], "next": null}}
