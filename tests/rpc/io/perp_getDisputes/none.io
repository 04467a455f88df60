// Nobody disputes anything
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getDisputes", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": []}
