// A dapp's compiler knows the contracts: what is misspelt or of a wrong type does not compile.

import { createPublicClient, decodeErrorResult, http, parseEventLogs, type Log } from "viem";
import {
  exchangeAbi,
  exchangeAddress,
  governanceAbi,
  liquidatorVaultAbi,
  oracleAbi,
  perpnode,
  tokenAbi,
  tokenAddress,
} from "./perpnode.js";

const client = createPublicClient({ chain: perpnode, transport: http() });
const exchange = { address: exchangeAddress, abi: exchangeAbi } as const;

export async function look(account: `0x${string}`, logs: Log[]): Promise<bigint> {
  const market = await client.readContract({ ...exchange, functionName: "getMarket", args: [1] });
  const symbol: string = market.symbol;
  const { size } = await client.readContract({
    ...exchange,
    functionName: "getPosition",
    args: [account, 1],
  });
  const tokens: bigint = await client.readContract({
    address: tokenAddress,
    abi: tokenAbi,
    functionName: "balanceOf",
    args: [account],
  });
  const fills = parseEventLogs({ abi: exchangeAbi, logs, eventName: "OrderFilled" });
  const prices: bigint[] = fills.map((fill) => fill.args.price);
  // @ts-expect-error: there is no such function
  client.readContract({ ...exchange, functionName: "getMarkets", args: [] });
  // @ts-expect-error: a market is a number
  client.readContract({ ...exchange, functionName: "getMarket", args: ["BTC-USD"] });
  const refusal = decodeErrorResult({ abi: exchangeAbi, data: "0x" });
  // @ts-expect-error: no error of that name
  if (refusal.errorName === "NoSuchError") throw new Error(symbol);
  return size * market.mark * market.k + tokens + (prices[0] ?? 0n);
}

const abis = { exchangeAbi, governanceAbi, liquidatorVaultAbi, oracleAbi, tokenAbi };
console.log(JSON.stringify({ id: perpnode.id, exchangeAddress, tokenAddress, abis }));
