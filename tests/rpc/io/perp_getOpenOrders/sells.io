// What an account offers in a market
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getOpenOrders", "params": ["0x94d0664b249d23286d62f2dd2d21f739b3707f65", {"market": 1, "side": "sell"}]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"address": "0x94d0664b249d23286d62f2dd2d21f739b3707f65", "blockNumber": 15, "orders": [{"market": 1, "symbol": "BTC-USD", "orderId": 3, "size": {"lots": -270, "decimal": "-0.0270"}, "price": {"ticks": 500050, "decimal": "50005.0"}, "reduceOnly": false, "postOnly": false, "clientId": null, "expiresMs": null, "blockNumber": 12}], "triggers": []}}
