// What every library's story shares: its settings, the ABI as dapps load it, and plain assertions.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Settings from the test: url, abiDir, keys, and the trade in integers. */
export const settings = JSON.parse(process.argv[2]);

export const TOKEN = "0x0000000000000000000000000000000000001001";
export const EXCHANGE = "0x0000000000000000000000000000000000001002";
export const [GTC, IOC] = [0, 1];

export function loadAbi(name) {
  return JSON.parse(readFileSync(join(settings.abiDir, `${name}.json`), "utf8"));
}

/** Cash that OrderFilled and FundingSettled events paid to an account, in atoms. */
export function cashOf(account, fills, settlements, k) {
  const is = (address) => address.toLowerCase() === account.toLowerCase();
  let cash = 0n;
  for (const fill of fills) {
    const value = fill.size * fill.price * k;
    if (is(fill.taker)) cash += -value - fill.takerFee;
    if (is(fill.maker)) cash += value - fill.makerFee;
  }
  for (const settled of settlements) if (is(settled.account)) cash += settled.cash;
  return cash;
}

export function report(result) {
  const plain = (_, value) => (typeof value === "bigint" ? value.toString() : value);
  console.log(JSON.stringify(result, plain));
}

export { assert };
