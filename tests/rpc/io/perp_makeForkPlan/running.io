// A chain that goes on is not forked
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_makeForkPlan", "params": [{"reason": "a rehearsal"}]}
<< {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "the chain goes on: halt it first, and plan the fork then"}}
