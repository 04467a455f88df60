// Candles of a minute
// chain: traded
>> {"jsonrpc": "2.0", "id": 1, "method": "perp_getCandles", "params": [1, "1m", {"limit": 3}]}
<< {"jsonrpc": "2.0", "id": 1, "result": {"market": 1, "symbol": "BTC-USD", "blockNumber": 15, "blockHash": "0x16d04e75e0850224139dab7348a7f1a881adc82bd1f90839d83e236e694f205a", "interval": "1m", "knownFrom": 0, "candles": [{"startMs": 1800000000000, "endMs": 1800000060000, "open": {"ticks": 500010, "decimal": "50001.0"}, "high": {"ticks": 500050, "decimal": "50005.0"}, "low": {"ticks": 500010, "decimal": "50001.0"}, "close": {"ticks": 500050, "decimal": "50005.0"}, "volume": {"lots": 230, "decimal": "0.0230"}, "liquidationVolume": {"lots": 0, "decimal": "0.0000"}, "fillCount": 4, "isClosed": false}]}}
