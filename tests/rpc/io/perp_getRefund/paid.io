// A refund that was paid
// chain: compensated
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getRefund", "params": [1, "0x93646ca7a11660af7d74e9b08ef0aa99d1a69d81"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"compensation": 1, "account": "0x93646ca7a11660af7d74e9b08ef0aa99d1a69d81", "isPaid": true, "index": 1, "amount": {"atoms": 2500000, "decimal": "2.500000"}, "paidBlock": 17}}
