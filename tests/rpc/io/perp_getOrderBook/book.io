// The best levels of a book
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getOrderBook", "params": [1, 20, "latest"]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"market": 1, "symbol": "BTC-USD", "blockNumber": 15, "bids": [], "asks": [{"price": {"ticks": 500050, "decimal": "50005.0"}, "size": {"lots": 270, "decimal": "0.0270"}, "orderCount": 1}]}}
