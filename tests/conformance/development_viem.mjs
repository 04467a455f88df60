// viem's TestClient, in mode anvil and in mode hardhat: every action that perpnode offers.

import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  getAddress,
  http,
  keccak256,
  parseEther,
  publicActions,
  webSocket,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { EXCHANGE, TOKEN, assert, loadAbi, report, settings } from "./story.mjs";

const chain = defineChain({
  id: settings.chainId,
  name: "perpnode",
  nativeCurrency: { name: "Gas", symbol: "GAS", decimals: 18 },
  rpcUrls: { default: { http: [settings.url] } },
});
const transport = http(settings.url);
const owner = privateKeyToAccount(settings.keys[0]);
const wallet = createWalletClient({ chain, transport, account: owner });
const stranger = getAddress("0x00000000000000000000000000000000000abcde");
const other = getAddress("0x00000000000000000000000000000000000abce0");
const exchangeAbi = loadAbi("Exchange");
const tokenAbi = loadAbi("Token");

async function play(mode) {
  const test = createTestClient({ chain, mode, transport, cacheTime: 0 }).extend(publicActions);
  const height = () => test.getBlockNumber({ cacheTime: 0 });
  const time = async () => (await test.getBlock()).timestamp;

  // blocks
  await test.setAutomine(false);
  assert.equal(await test.getAutomine(), false);
  const before = await height();
  await test.mine({ blocks: 3 });
  assert.equal(await height(), before + 3n);
  const then = await time();
  await test.mine({ blocks: 2, interval: 60 });
  assert.ok((await time()) >= then + 120n);

  // time
  const start = await test.getBlock();
  assert.equal(typeof (await test.increaseTime({ seconds: 3600 })), "number");
  await test.mine({ blocks: 1 });
  assert.ok((await time()) >= start.timestamp + 3600n);
  const wanted = (await time()) + 86_400n;
  await test.setNextBlockTimestamp({ timestamp: wanted });
  await test.mine({ blocks: 1 });
  assert.equal(await time(), wanted);
  await assert.rejects(test.setNextBlockTimestamp({ timestamp: 5n }), /lower than previous/);
  await test.setBlockTimestampInterval({ interval: 10 });
  await test.mine({ blocks: 1 });
  assert.equal(await time(), wanted + 10n);
  await test.removeBlockTimestampInterval();

  // state, a snapshot and the way back
  const balance = await test.getBalance({ address: stranger });
  const now = await time();
  const number = await height();
  const id = await test.snapshot();
  await test.setBalance({ address: stranger, value: parseEther("7") });
  assert.equal(await test.getBalance({ address: stranger }), parseEther("7"));
  await test.setNonce({ address: stranger, nonce: 7 });
  assert.equal(await test.getTransactionCount({ address: stranger }), 7);
  await test.increaseTime({ seconds: 50 });
  await test.revert({ id });
  assert.equal(await height(), number);
  assert.equal(await test.getBalance({ address: stranger }), balance);
  assert.equal(await test.getTransactionCount({ address: stranger }), 0);
  await test.mine({ blocks: 1 });
  assert.ok((await time()) - now <= 5n, "time is restored");

  // impersonation
  await test.request({ method: "anvil_dealERC20", params: [stranger, TOKEN, "0x3b9aca00"] });
  await test.impersonateAccount({ address: stranger });
  const unlocked = createWalletClient({ chain, transport, account: stranger });
  const deposit = encodeFunctionData({ abi: exchangeAbi, functionName: "deposit", args: [500n] });
  const hash = await unlocked.sendTransaction({ to: EXCHANGE, data: deposit, gas: 100_000n });
  const receipt = await test.waitForTransactionReceipt({ hash, pollingInterval: 20 });
  assert.equal(receipt.status, "success");
  assert.equal(getAddress(receipt.from), stranger);
  assert.equal(getAddress((await test.getTransaction({ hash })).from), stranger);
  const tokens = await test.readContract({
    address: TOKEN,
    abi: tokenAbi,
    functionName: "balanceOf",
    args: [stranger],
  });
  assert.equal(tokens, 999_999_500n);
  await test.stopImpersonatingAccount({ address: stranger });
  await assert.rejects(
    unlocked.sendTransaction({ to: EXCHANGE, data: deposit, gas: 100_000n }),
    /No Signer available/,
  );

  // the pool and the pace
  const dropped = await wallet.sendTransaction({ to: stranger, value: 1n });
  await test.dropTransaction({ hash: dropped });
  const kept = await wallet.sendTransaction({ to: stranger, value: 2n });
  await test.setAutomine(true);
  const mined = await test.waitForTransactionReceipt({ hash: kept, pollingInterval: 20 });
  assert.equal(mined.status, "success");
  await assert.rejects(test.getTransaction({ hash: dropped }), /could not be found/);
  await test.setLoggingEnabled(true);
  await assert.rejects(test.setCode({ address: stranger, bytecode: "0x00" }), /does not exist/);
  await test.setAutomine(false);
  const removed = await wallet.sendTransaction({ to: stranger, value: 3n });
  await test.reset();
  assert.equal(await height(), 0n);
  await test.mine({ blocks: 1 });
  await assert.rejects(test.getTransactionReceipt({ hash: removed }), /could not be found/);
}

async function watch() {
  // A watcher sees the logs of what a revert took out again, as removed.
  const socket = webSocket(settings.url.replace("http", "ws"));
  const client = createPublicClient({ chain, transport: socket });
  const test = createTestClient({ chain, mode: "anvil", transport });
  const seen = [];
  const stop = client.watchEvent({ address: TOKEN, onLogs: (logs) => seen.push(...logs) });
  await new Promise((done) => setTimeout(done, 200));
  const id = await test.snapshot();
  await test.request({ method: "anvil_dealERC20", params: [stranger, TOKEN, "0x1"] });
  await test.revert({ id });
  for (let waited = 0; waited < 5_000 && seen.length < 2; waited += 20) {
    await new Promise((done) => setTimeout(done, 20));
  }
  stop();
  assert.deepEqual(seen.map((log) => log.removed), [false, true]);
  assert.equal(seen[0].transactionHash, seen[1].transactionHash);
}

async function reorganise() {
  // Another branch of the same height: block watchers go on, a transaction moves to another block.
  const test = createTestClient({ chain, mode: "anvil", transport, cacheTime: 0 }).extend(publicActions);
  const request = { to: other, value: 9n, gas: 21_000n, maxFeePerGas: 2_000_000_000n };
  await test.mine({ blocks: 2 });
  const left = await test.getBlock();
  const nonce = await test.getTransactionCount({ address: owner.address });
  const signed = await owner.signTransaction({
    ...request,
    chainId: chain.id,
    nonce,
    maxPriorityFeePerGas: 0n,
    type: "eip1559",
  });
  const before = await test.getBalance({ address: other });
  const pairs = [[signed, 0], [{ from: owner.address, to: other, value: "0x5" }, 1]];
  assert.equal(await test.request({ method: "anvil_reorg", params: [2, pairs] }), null);
  const head = await test.getBlock();
  assert.equal(head.number, left.number);
  assert.notEqual(head.hash, left.hash);
  assert.equal((await test.getTransactionReceipt({ hash: keccak256(signed) })).blockNumber, head.number - 1n);
  assert.equal((await test.getBalance({ address: other })) - before, 14n);
  assert.equal((await test.getBlock({ blockHash: left.hash })).number, left.number);
  const [mined] = await test.request({ method: "evm_mine_detailed", params: [] });
  assert.equal(BigInt(mined.number), head.number + 1n);
}

await play("anvil");
await play("hardhat");
await watch();
await reorganise();
report({ played: 4 });
process.exit(0);
