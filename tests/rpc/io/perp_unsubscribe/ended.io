// A feed that is ended
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_subscribe", "params": ["markets"]}
<< {"jsonrpc": "2.0", "id": 1, "result": "0xa"}
>> {"jsonrpc": "2.0", "id": 2, "method": "perp_unsubscribe", "params": ["@result"]}
<< {"jsonrpc": "2.0", "id": 2, "result": true}
