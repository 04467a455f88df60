// Who governs
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "gov_getCouncil", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": {"members": ["0x7feede2c02712deda6d986bcc52e9a605cd894a4", "0xa2a8c5068bd02a71131a68778e4a4c004a58e0e9", "0xba958ec38d7acb05f8161b58e85b874295a6f5a9", "0xf72ff34d9633f1323203e5109e6f56078fb15d4a", "0xf85398ca2fb3c9c44a16c429ab95701a698aec34"], "threshold": 3, "domain": {"name": "perpnode", "version": "1", "chainId": 20260119, "verifyingContract": "0x0000000000000000000000000000000000001004", "salt": "0x85a626d3723c9418e618f1dfd25e4db8ea2394046623fcf4febe24e2588c70b6"}, "forkId": 0, "mode": "OPEN", "haltHeight": null, "maintenance": null, "hold": null, "blockNumber": 15, "timeMs": 1800000015000}}
