// A chain without validators: nobody signs its blocks
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getCertificate", "params": ["safe"]}
<< {"jsonrpc": "2.0", "id": 1, "result": null}
