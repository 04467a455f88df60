// A list of two refunds, one of them paid
// chain: compensated
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getCompensations", "params": []}
<< {"jsonrpc": "2.0", "id": 1, "result": [{"compensation": 1, "root": "0x1d74be03414ac06c325f22ae3e7c63d5bedd2cea95efe9a05499620755aa8553", "refunds": 2, "paid": 1, "total": {"atoms": 4000000, "decimal": "4.000000"}, "left": {"atoms": 1500000, "decimal": "1.500000"}, "returned": {"atoms": 0, "decimal": "0.000000"}, "payUntil": 1800003615, "isOpen": true, "closedBlock": null}]}
