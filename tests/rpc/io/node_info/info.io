// What a node is
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "node_info", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": {"clientVersion": "perpnode", "role": "sequencer", "chainId": 20260119, "genesisHash": "0x85a626d3723c9418e618f1dfd25e4db8ea2394046623fcf4febe24e2588c70b6", "forkId": 0, "devEpoch": 0, "blockNumber": 15, "dataBytes": 0, "peers": []}}
