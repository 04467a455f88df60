// The same day with ethers: connect, fund, deposit, trade, see it, close, withdraw; then its errors.

import {
  Contract,
  JsonRpcProvider,
  NonceManager,
  Wallet,
  decodeRlp,
  encodeRlp,
  isError,
  keccak256,
  parseEther,
} from "ethers";
import { headerFields, provenValue, quantity } from "./proof.mjs";
import { EXCHANGE, GTC, IOC, TOKEN, assert, cashOf, loadAbi, report, settings } from "./story.mjs";

const { market } = settings;
const [size, faucet, deposit] = [settings.size, settings.faucet, settings.deposit].map(BigInt);

const provider = new JsonRpcProvider(settings.url, undefined, { cacheTimeout: -1 });
provider.pollingInterval = 50;
const [funder, maker, taker] = settings.keys.map((key) => new Wallet(key, provider));
const exchange = new Contract(EXCHANGE, loadAbi("Exchange"), provider);
const token = new Contract(TOKEN, loadAbi("Token"), provider);

async function mined(response) {
  const receipt = await (await response).wait();
  assert.equal(receipt.status, 1);
  return receipt;
}
/** The arguments of an event's logs, by name. */
const argsOf = (logs, name) =>
  logs
    .map((log) => exchange.interface.parseLog(log))
    .filter((parsed) => parsed?.name === name)
    .map((parsed) => parsed.args.toObject());

// connect and fund
assert.equal((await provider.getNetwork()).chainId, BigInt(settings.chainId));
const managed = new NonceManager(funder);
for (const who of [maker, taker]) {
  const paid = await mined(managed.sendTransaction({ to: who.address, value: parseEther("1") }));
  assert.equal(paid.gasUsed, 21000n);
  assert.equal(await provider.getBalance(who.address), parseEther("1"));
  await mined(token.connect(who).faucet(faucet));
  assert.equal(await token.balanceOf(who.address), faucet);
  await mined(exchange.connect(who).deposit(deposit));
  assert.equal(await token.balanceOf(who.address), faucet - deposit);
}
const first = await provider.getBlockNumber();
const { mark: price, k } = (await exchange.getMarket(market)).toObject();

// place: the maker rests, the taker takes, both see the fill
const orderId = await exchange.connect(maker).placeOrder.staticCall(market, -size, price, GTC, false);
await mined(exchange.connect(maker).placeOrder(market, -size, price, GTC, false));
const taken = await mined(exchange.connect(taker).placeOrder(market, size, price, IOC, false));
const [fill] = argsOf(taken.logs, "OrderFilled");
assert.equal(fill.market, BigInt(market));
assert.equal(fill.maker, maker.address);
assert.equal(fill.taker, taker.address);
assert.equal(fill.makerOrderId, orderId);
assert.equal(fill.size, size);
assert.equal(fill.price, price);
assert.equal(fill.liquidation, false);

// close: the maker bids, the taker sells at market; both are flat
await mined(exchange.connect(maker).placeOrder(market, size, price, GTC, true));
await mined(exchange.connect(taker).placeMarketOrder(market, -size, true));
const logs = await provider.getLogs({ address: EXCHANGE, fromBlock: first });
const fills = argsOf(logs, "OrderFilled");
const settlements = argsOf(logs, "FundingSettled");

// withdraw everything: exact to the atom
for (const who of [maker, taker]) {
  const cash = cashOf(who.address, fills, settlements, k);
  await mined(exchange.connect(who).withdraw(deposit + cash));
  assert.equal(await token.balanceOf(who.address), faucet + cash);
}

// errors are typed as for any other chain
const revertOf = async (call) => {
  const error = await call.then(
    () => assert.fail("was not refused"),
    (refused) => refused,
  );
  assert.ok(isError(error, "CALL_EXCEPTION"), `${error.code}: ${error.message}`);
  return error.revert ?? exchange.interface.parseError(error.data);
};
const refused = await revertOf(
  exchange.connect(maker).placeOrder.staticCall(market, size, price, GTC, false),
);
assert.equal(refused.name, "InsufficientMargin");
assert.equal(refused.args[0], maker.address);
assert.equal(refused.args[1], 0n);
assert.ok(refused.args[2] > 0n);
const estimated = await revertOf(
  exchange.connect(maker).placeOrder.estimateGas(market, size, price, GTC, false),
);
assert.equal(estimated.name, "InsufficientMargin");
await assert.rejects(
  maker.sendTransaction({ to: taker.address, value: 1n, nonce: 0 }),
  (error) => isError(error, "NONCE_EXPIRED"),
);
await assert.rejects(
  maker.sendTransaction({ to: taker.address, value: parseEther("5") }),
  (error) => isError(error, "INSUFFICIENT_FUNDS"),
);
await assert.rejects(
  maker.sendTransaction({ to: taker.address, value: parseEther("5"), gasLimit: 21000n }),
  (error) => isError(error, "INSUFFICIENT_FUNDS"),
);

// hashes and proofs: ethers' RLP and keccak come to the same block hash and state
const raw = await provider.send("eth_getBlockByHash", [taken.blockHash, false]);
assert.equal(keccak256(encodeRlp(headerFields(raw))), raw.hash);
for (const address of [maker.address, "0x00000000000000000000000000000000deadbeef"]) {
  const proof = await provider.send("eth_getProof", [address, [], raw.number]);
  const leaf = provenValue({
    root: raw.stateRoot,
    key: address,
    proof: proof.accountProof,
    keccak256,
    decodeRlp,
  });
  const fields = [quantity(proof.nonce), quantity(proof.balance), proof.storageHash, proof.codeHash];
  if (address === maker.address) assert.deepEqual(decodeRlp(leaf), fields);
  else assert.equal(leaf, null);
}

report({ fills: fills.length, settlements: settlements.length });
provider.destroy();
