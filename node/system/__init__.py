"""The system contracts: ABI calldata in, rule calls, ABI logs and errors out (DESIGN section 5).

It promises that a call either does all that its function says and returns its ABI output, or raises
a `Refusal` that encodes as the ABI error of the same name; no calldata, however malformed, does
anything else. `contracts/interfaces` declares every function, event and error, and the committed
`contracts/abi` is what this package loads: names and types stand nowhere else.

It decides nothing itself: money and orders are the rules' matter (`node.perp`), except for the
collateral token, whose rules live here. It knows no chain: gas and class are pure functions of a
transaction's bytes, and state is whatever implements `ledger.SystemLedger`.

Reading order: dispatch, exchange, token, contracts, abi.
"""
