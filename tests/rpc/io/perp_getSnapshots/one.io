// The snapshots of a node
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getSnapshots", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": [{"name": "0-13", "forkId": 0, "blockNumber": 13, "blockHash": "0x8b78015a26cf418ecf928fae38fb43106984135437e061ebcb2d2b6e80b37b57", "stateRoot": "0xd1f5027f392d2b6c9700450209668ffd8d758ab3fac4bcba9d76ec0347f767d9", "manifestHash": "0xdd52f46cdc8ae8fef2267c62bb631a2e6797a5ef33e830f7af5176245e5d3971", "timeMs": 1800000013000, "signers": [], "power": 0, "totalPower": 0, "isCertified": true, "isCanonical": true, "isHere": true}]}
