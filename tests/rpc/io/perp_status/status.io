// How chain and node are
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_status", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": {"phase": "open", "reason": "", "mode": "OPEN", "forkId": 0, "devEpoch": 0, "latest": 15, "safe": 15, "finalized": 15, "timeMs": 1800000015000, "validators": 0, "peers": [], "disputes": 0, "waiting": 0, "deficit": {"atoms": 0, "decimal": "0.000000"}, "vault": {"atoms": 1000000000000, "decimal": "1000000.000000"}, "chainId": 20260119, "genesisHash": "0x85a626d3723c9418e618f1dfd25e4db8ea2394046623fcf4febe24e2588c70b6", "clientVersion": "perpnode"}}
