// A dapp with viem that watches a chain while its council forks it, and then simply goes on.

import { createPublicClient, createWalletClient, defineChain, http, webSocket } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { finish, goAhead, ready, until } from "./fork.mjs";
import { EXCHANGE, assert, loadAbi, settings } from "./story.mjs";

const abi = loadAbi("Exchange");
const chain = defineChain({
  id: settings.chainId,
  name: "perpnode",
  nativeCurrency: { name: "Gas", symbol: "GAS", decimals: 18 },
  rpcUrls: { default: { http: [settings.url] } },
});
const transport = http(settings.url);
const client = createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
const socket = createPublicClient({ chain, transport: webSocket(settings.url.replace("http", "ws")) });
const account = privateKeyToAccount(settings.keys[0]);
const wallet = createWalletClient({ chain, transport, account });

const polled = [];
const heads = [];
const logs = [];
const removed = [];
client.watchBlockNumber({ onBlockNumber: (number) => polled.push(number) });
socket.watchBlocks({ onBlock: (block) => heads.push(block.number) });
socket.watchEvent({
  address: EXCHANGE,
  onLogs: (found) => {
    for (const log of found) (log.removed ? removed : logs).push(log.transactionHash);
  },
});
await until(() => polled.length > 0 && heads.length > 0);

async function deposit() {
  const hash = await wallet.writeContract({
    address: EXCHANGE,
    abi,
    functionName: "deposit",
    args: [1_000_000n],
  });
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  return receipt;
}

const before = await deposit();
ready(before.blockNumber);
await goAhead();
await assert.rejects(client.getTransactionReceipt({ hash: before.transactionHash }));
const after = await deposit();
const { nonce } = await client.getTransaction({ hash: after.transactionHash });
await until(() => polled.at(-1) >= after.blockNumber && heads.at(-1) >= after.blockNumber);
await until(() => logs.includes(after.transactionHash));
await finish({
  nonce,
  polled,
  heads,
  logs,
  removed,
  transactions: [before.transactionHash, after.transactionHash],
});
