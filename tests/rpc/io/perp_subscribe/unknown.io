// A kind of feed that is not there
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_subscribe", "params": ["blocks", {}]}
<< {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no \"blocks\" subscription in perp namespace"}}
