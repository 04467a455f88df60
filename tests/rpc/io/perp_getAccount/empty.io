// An account that never was
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getAccount", "params": ["0x1212121212121212121212121212121212121212"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"address": "0x1212121212121212121212121212121212121212", "balance": {"atoms": 0, "decimal": "0.000000"}, "equity": {"atoms": 0, "decimal": "0.000000"}, "initialMargin": {"atoms": 0, "decimal": "0.000000"}, "maintenanceMargin": {"atoms": 0, "decimal": "0.000000"}, "openNotional": {"atoms": 0, "decimal": "0.000000"}, "pendingFunding": {"atoms": 0, "decimal": "0.000000"}, "withdrawalsFromMs": 1800000000000, "positions": [], "orders": [], "triggers": []}}
