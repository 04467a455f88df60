// A dapp's day with viem: connect, fund, deposit, trade, see it, close, withdraw; then its errors.

import {
  BaseError,
  ContractFunctionRevertedError,
  InsufficientFundsError,
  NonceTooLowError,
  createPublicClient,
  createWalletClient,
  defineChain,
  fromRlp,
  http,
  keccak256,
  parseEther,
  parseEventLogs,
  toRlp,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { headerFields, provenValue, quantity } from "./proof.mjs";
import { EXCHANGE, GTC, IOC, TOKEN, assert, cashOf, loadAbi, report, settings } from "./story.mjs";

const exchangeAbi = loadAbi("Exchange");
const tokenAbi = loadAbi("Token");
const { market } = settings;
const [size, faucet, deposit] = [settings.size, settings.faucet, settings.deposit].map(BigInt);

const chain = defineChain({
  id: settings.chainId,
  name: "perpnode",
  nativeCurrency: { name: "Gas", symbol: "GAS", decimals: 18 },
  rpcUrls: { default: { http: [settings.url] } },
});
const transport = http(settings.url);
const client = createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
const wallet = (key) =>
  createWalletClient({ chain, transport, account: privateKeyToAccount(key) });
const [funder, maker, taker] = settings.keys.map(wallet);

async function mined(hash, status = "success") {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, status);
  return receipt;
}
const write = async (who, functionName, args, [address, abi] = [EXCHANGE, exchangeAbi]) =>
  mined(await who.writeContract({ address, abi, functionName, args }));
const tokensOf = (who) =>
  client.readContract({
    address: TOKEN,
    abi: tokenAbi,
    functionName: "balanceOf",
    args: [who.account.address],
  });

// connect and fund
assert.equal(await client.getChainId(), settings.chainId);
for (const who of [maker, taker]) {
  const paid = await mined(
    await funder.sendTransaction({ to: who.account.address, value: parseEther("1") }),
  );
  assert.equal(paid.gasUsed, 21000n);
  assert.equal(await client.getBalance({ address: who.account.address }), parseEther("1"));
  await write(who, "faucet", [faucet], [TOKEN, tokenAbi]);
  assert.equal(await tokensOf(who), faucet);
  await write(who, "deposit", [deposit]);
  assert.equal(await tokensOf(who), faucet - deposit);
}
const first = await client.getBlockNumber();
const { mark: price, k } = await client.readContract({
  address: EXCHANGE,
  abi: exchangeAbi,
  functionName: "getMarket",
  args: [market],
});

// place: the maker rests, the taker takes, both see the fill
const { result: orderId } = await client.simulateContract({
  account: maker.account,
  address: EXCHANGE,
  abi: exchangeAbi,
  functionName: "placeOrder",
  args: [market, -size, price, GTC, false],
});
await write(maker, "placeOrder", [market, -size, price, GTC, false]);
const taken = await write(taker, "placeOrder", [market, size, price, IOC, false]);
const [fill] = parseEventLogs({ abi: exchangeAbi, logs: taken.logs, eventName: "OrderFilled" });
assert.equal(fill.args.market, market);
assert.equal(fill.args.maker, maker.account.address);
assert.equal(fill.args.taker, taker.account.address);
assert.equal(fill.args.makerOrderId, orderId);
assert.equal(fill.args.size, size);
assert.equal(fill.args.price, price);
assert.equal(fill.args.liquidation, false);

// close: the maker bids, the taker sells at market; both are flat
await write(maker, "placeOrder", [market, size, price, GTC, true]);
await write(taker, "placeMarketOrder", [market, -size, true]);
const logsOf = async (eventName) =>
  (
    await client.getContractEvents({
      address: EXCHANGE,
      abi: exchangeAbi,
      eventName,
      fromBlock: first,
      strict: true,
    })
  ).map((log) => log.args);
const fills = await logsOf("OrderFilled");
const settlements = await logsOf("FundingSettled");

// withdraw everything: exact to the atom
for (const who of [maker, taker]) {
  const cash = cashOf(who.account.address, fills, settlements, k);
  await write(who, "withdraw", [deposit + cash]);
  assert.equal(await tokensOf(who), faucet + cash);
  await assert.rejects(
    client.simulateContract({
      account: who.account,
      address: EXCHANGE,
      abi: exchangeAbi,
      functionName: "withdraw",
      args: [1n],
    }),
    (error) => error.walk((e) => e instanceof ContractFunctionRevertedError) !== null,
  );
}

// errors are typed as for any other chain
const walked = (error, kind) =>
  error instanceof BaseError ? error.walk((e) => e instanceof kind) : null;
await assert.rejects(
  maker.sendTransaction({ to: taker.account.address, value: 1n, nonce: 0 }),
  (error) => walked(error, NonceTooLowError) !== null,
);
await assert.rejects(
  maker.sendTransaction({ to: taker.account.address, value: parseEther("5") }),
  (error) => walked(error, InsufficientFundsError) !== null,
);
await assert.rejects(
  maker.sendTransaction({ to: taker.account.address, value: parseEther("5"), gas: 21000n }),
  (error) => walked(error, InsufficientFundsError) !== null,
);
await assert.rejects(
  client.simulateContract({
    account: maker.account,
    address: EXCHANGE,
    abi: exchangeAbi,
    functionName: "placeOrder",
    args: [market, size, price, GTC, false],
  }),
  (error) => {
    const reverted = walked(error, ContractFunctionRevertedError);
    assert.equal(reverted?.data?.errorName, "InsufficientMargin");
    const [account, equity, required] = reverted.data.args;
    assert.equal(account, maker.account.address);
    assert.equal(equity, 0n);
    assert.ok(required > 0n);
    return true;
  },
);

// hashes and proofs: viem's RLP and keccak come to the same block hash and state
const raw = await client.request({
  method: "eth_getBlockByHash",
  params: [taken.blockHash, false],
});
assert.equal(keccak256(toRlp(headerFields(raw))), raw.hash);
const proof = await client.getProof({
  address: maker.account.address,
  storageKeys: [],
  blockNumber: taken.blockNumber,
});
const leaf = provenValue({
  root: raw.stateRoot,
  key: maker.account.address,
  proof: proof.accountProof,
  keccak256,
  decodeRlp: (node) => fromRlp(node, "hex"),
});
assert.deepEqual(fromRlp(leaf, "hex"), [
  quantity(proof.nonce),
  quantity(proof.balance),
  proof.storageHash,
  proof.codeHash,
]);
assert.equal(await client.getBalance({ address: maker.account.address, blockNumber: taken.blockNumber }), proof.balance);

report({ fills: fills.length, settlements: settlements.length });
