// The snapshots of a node
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getSnapshots", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": [{"name": "0-13", "forkId": 0, "blockNumber": 13, "blockHash": "0xf31067a78b8b6c87eee75d69d2838617e17c7ae98d6ddda645953cde8cc27cad", "stateRoot": "0x666c180d17d98b2b0cd665a9950b826bbcc973328955abcdaa35df58e37348e1", "manifestHash": "0xe9e17779cd673eb1d467a13a599da9d526ca5530696d852a30ec3aa213dbad2c", "timeMs": 1800000013000, "signers": [], "power": 0, "totalPower": 0, "isCertified": true, "isCanonical": true, "isHere": true}]}
