// The same with ethers, which keeps removed logs from ordinary listeners (it makes "orphan" events).

import { Contract, JsonRpcProvider, Wallet, WebSocketProvider } from "ethers";
import { finish, goAhead, ready, until } from "./fork.mjs";
import { EXCHANGE, assert, loadAbi, settings } from "./story.mjs";

const provider = new JsonRpcProvider(settings.url, undefined, { cacheTimeout: -1 });
provider.pollingInterval = 50;
const socket = new WebSocketProvider(settings.url.replace("http", "ws"));
const wallet = new Wallet(settings.keys[0], provider);
const exchange = new Contract(EXCHANGE, loadAbi("Exchange"), wallet);

const polled = [];
const heads = [];
const logs = [];
provider.on("block", (number) => polled.push(number));
socket.on("block", (number) => heads.push(number));
socket.on({ address: EXCHANGE }, (log) => logs.push(log.transactionHash));
await until(() => polled.length > 0 && heads.length > 0);

async function deposit() {
  const response = await exchange.deposit(1_000_000n);
  const receipt = await response.wait();
  assert.equal(receipt.status, 1);
  return { receipt, nonce: response.nonce };
}

const { receipt: before } = await deposit();
ready(before.blockNumber);
await goAhead();
assert.equal(await provider.getTransactionReceipt(before.hash), null);
const { receipt: after, nonce } = await deposit();
await until(() => polled.at(-1) >= after.blockNumber && heads.at(-1) >= after.blockNumber);
await until(() => logs.includes(after.hash));
await finish({
  nonce,
  polled,
  heads,
  logs,
  transactions: [before.hash, after.hash],
});
