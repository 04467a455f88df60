// Rate and index after each funding interval
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getFundingHistory", "params": [1, {"limit": 3}]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"market": 1, "symbol": "BTC-USD", "blockNumber": 15, "blockHash": "0x16d04e75e0850224139dab7348a7f1a881adc82bd1f90839d83e236e694f205a", "intervalMs": 60000, "intervals": [{"startMs": 1800000000000, "endMs": 1800000060000, "blockNumber": 15, "timeMs": 1800000015000, "rate": {"ppb": 100000, "decimal": "0.000100000"}, "index": {"nanoAtoms": 121527777, "decimal": "0.121527777"}, "change": null, "isClosed": false}]}}
