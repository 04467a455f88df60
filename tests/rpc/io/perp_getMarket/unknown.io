// A market that is not there
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getMarket", "params": [9]}
<< {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "invalid argument 0: no market has the id 9"}}
