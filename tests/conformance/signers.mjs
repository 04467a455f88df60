// The node's own accounts as signers: viem's JSON-RPC account and ethers' getSigner.

import { JsonRpcProvider, verifyMessage, verifyTypedData } from "ethers";
import {
  createTestClient,
  createWalletClient,
  defineChain,
  http,
  publicActions,
  verifyMessage as viemVerifyMessage,
  verifyTypedData as viemVerifyTypedData,
} from "viem";
import { assert, report, settings } from "./story.mjs";

const { url, chainId } = settings;
const chain = defineChain({
  id: chainId,
  name: "perpnode",
  nativeCurrency: { name: "Gas", symbol: "GAS", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const transport = http(url);
const types = {
  Person: [
    { name: "name", type: "string" },
    { name: "wallets", type: "address[]" },
  ],
  Mail: [
    { name: "from", type: "Person" },
    { name: "cents", type: "int256" },
    { name: "tag", type: "bytes4" },
  ],
};
const friend = "0x0000000000000000000000000000000000007777";
const value = { from: { name: "Ann", wallets: [friend] }, cents: -5n, tag: "0x01020304" };

// viem
const plain = createWalletClient({ chain, transport });
const [address] = await plain.getAddresses();
const wallet = createWalletClient({ chain, transport, account: address }).extend(publicActions);
const hash = await wallet.sendTransaction({ to: friend, value: 3n });
assert.equal((await wallet.waitForTransactionReceipt({ hash, pollingInterval: 50 })).status, "success");
assert.equal(await wallet.getBalance({ address: friend }), 3n);
const message = "héllo";
const signature = await wallet.signMessage({ message });
assert.ok(await viemVerifyMessage({ address, message, signature }));
const domain = { name: "test", version: "1", chainId, verifyingContract: friend };
const typed = { domain, types, primaryType: "Mail", message: value };
assert.ok(
  await viemVerifyTypedData({ address, ...typed, signature: await wallet.signTypedData(typed) }),
);

// the mempool, as viem's test client reads it
const test = createTestClient({ chain, transport, mode: "anvil" });
const nonce = await wallet.getTransactionCount({ address });
await wallet.sendTransaction({ to: friend, value: 1n, nonce: nonce + 20, gas: 21000n });
assert.ok((await test.getTxpoolStatus()).queued >= 1);
const content = await test.getTxpoolContent();
const owner = Object.keys(content.queued).find((each) => each.toLowerCase() === address.toLowerCase());
assert.equal(content.queued[owner][nonce + 20].value, "0x1");
assert.match((await test.inspectTxpool()).queued[owner][nonce + 20], /^0x.{40}: 1 wei \+ 21000 gas × \d+ wei$/);

// ethers
const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1 });
provider.pollingInterval = 50;
const signer = await provider.getSigner(1);
const sent = await signer.sendTransaction({ to: friend, value: 4n });
assert.equal((await sent.wait()).status, 1);
assert.equal(verifyMessage(message, await signer.signMessage(message)), signer.address);
assert.equal(
  verifyTypedData(domain, types, value, await signer.signTypedData(domain, types, value)),
  signer.address,
);
assert.equal(await provider.getBalance(friend), 7n);

report({ address, signer: signer.address });
provider.destroy();
