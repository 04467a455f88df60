// A refund that waits, and a compensation that is none
// chain: compensated
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getRefund", "params": [2, "0x94d0664b249d23286d62f2dd2d21f739b3707f65", "latest"]}
<< {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "invalid argument 0: no compensation has the number 2, there are 1"}}
>> {"jsonrpc": "2.0", "id": 2, "method": "perp_getRefund", "params": [1, "0x94d0664b249d23286d62f2dd2d21f739b3707f65", "latest"]}
<< {"jsonrpc": "2.0", "id": 2, "result": {"compensation": 1, "account": "0x94d0664b249d23286d62f2dd2d21f739b3707f65", "isPaid": false, "index": null, "amount": null, "paidBlock": null}}
