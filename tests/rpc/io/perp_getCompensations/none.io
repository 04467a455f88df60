// There was no compensation
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getCompensations", "params": ["latest"]}
<< {"jsonrpc": "2.0", "id": 1, "result": []}
