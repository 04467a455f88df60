// What a node is
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "node_info", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": {"clientVersion": "perpnode", "role": "sequencer", "chainId": 20260119, "genesisHash": "0xcc0c1995d120fd62aa3cde61905a99c59206d091a5dfa27720d71fbedab80acd", "forkId": 0, "devEpoch": 0, "blockNumber": 15, "dataBytes": 0, "peers": []}}
