// A snapshot of a block is asked for
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_createSnapshot", "params": [12]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"name": "0-12", "blockHash": "0x283b8559d6cbb21b6bae4f23f03edf89e7c005b4d784a8b555bac40a86dfaa56"}}
