// A minute with blocks and prices on the way
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_fastForward", "params": [60]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"blocks": 3, "blockNumber": 18, "timeMs": 1800000075000}}
