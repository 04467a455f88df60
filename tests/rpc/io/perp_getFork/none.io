// There was no fork
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getFork", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": null}
