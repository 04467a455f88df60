// A transaction that nobody knows
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getTransactionStatus", "params": ["0x2222222222222222222222222222222222222222222222222222222222222222"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"status": "unknown", "text": "no block and no mempool here has it"}}
