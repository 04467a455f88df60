// A feed of trades, over WebSocket
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_subscribe", "params": ["trades", {"market": 1}]}
<< {"jsonrpc": "2.0", "id": 1, "result": "0xa"}
