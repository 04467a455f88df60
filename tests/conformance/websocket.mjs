// viem and ethers over WebSocket on the same port: heads, logs and waiting transactions as they come.

import { Contract, WebSocketProvider } from "ethers";
import { createPublicClient, webSocket } from "viem";
import { TOKEN, assert, loadAbi, report, settings } from "./story.mjs";

const url = settings.url.replace("http", "ws");
const abi = loadAbi("Token");
const [sender] = settings.accounts;

/** The first thing that `begin` is told. */
function first(begin) {
  return new Promise((resolve, reject) => {
    begin(resolve);
    setTimeout(() => reject(new Error(`nothing came: ${begin}`)), 20_000);
  });
}
/** Price reporters send too: all that came is kept, and looked through until one is ours. */
async function includes(hashes, hash) {
  for (let tries = 0; tries < 200 && !hashes.includes(hash); tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return hashes.includes(hash);
}

// viem
const client = createPublicClient({ transport: webSocket(url) });
const viem = {
  block: first((onBlock) => client.watchBlocks({ onBlock, emitOnBegin: false })),
  number: first((onBlockNumber) => client.watchBlockNumber({ onBlockNumber })),
  logs: first((onLogs) =>
    client.watchContractEvent({ address: TOKEN, abi, eventName: "Transfer", onLogs }),
  ),
  pending: [],
};
client.watchPendingTransactions({ onTransactions: (all) => viem.pending.push(...all) });
// ethers
const provider = new WebSocketProvider(url);
const token = new Contract(TOKEN, abi, provider);
const ethers = {
  block: first((told) => provider.on("block", told)),
  log: first((told) => token.on("Transfer", (...all) => told(all.at(-1)))),
  pending: [],
};
provider.on("pending", (each) => ethers.pending.push(each));
// Both have subscribed when a request that was sent after theirs is answered.
await client.getChainId();
await provider.getNetwork();
await new Promise((resolve) => setTimeout(resolve, 500));

// faucet(5)
const data = `0x57915897${"5".padStart(64, "0")}`;
const hash = await client.request({
  method: "eth_sendTransaction",
  params: [{ from: sender, to: TOKEN, data }],
});

assert.ok((await viem.block).baseFeePerGas > 0n);
assert.equal(typeof (await viem.number), "bigint");
const [log] = await viem.logs;
assert.equal(log.transactionHash, hash);
assert.equal(log.args.value, 5n);
assert.ok(await includes(viem.pending, hash));
assert.equal(typeof (await ethers.block), "number");
assert.ok(await includes(ethers.pending, hash));
const event = await ethers.log;
assert.equal(event.log.transactionHash, hash);
assert.equal(event.args.value, 5n);
report({ hash });
await provider.destroy();
process.exit();
