// A snapshot of a block is asked for
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_createSnapshot", "params": [12]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"name": "0-12", "blockHash": "0x565de01db813e2f34bb5b05019445a7b26656fa18a1244d6d5437145d097665e"}}
