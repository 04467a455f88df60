// Refusals as viem and ethers type them: each row is sent, and the library's error is reported.

import { readFileSync } from "node:fs";
import { JsonRpcProvider } from "ethers";
import { createPublicClient, createWalletClient, defineChain, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { url, chainId, key, rows } = JSON.parse(readFileSync(0, "utf8"));

let requests = 0;
const chain = defineChain({
  id: chainId,
  name: "perpnode",
  nativeCurrency: { name: "Gas", symbol: "GAS", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
let counted = "";
const onFetchRequest = async (request) => {
  if ((await request.clone().text()).includes(`"${counted}"`)) requests += 1;
};
const transport = http(url, { onFetchRequest });
const client = createPublicClient({ chain, transport });
const account = privateKeyToAccount(key);
const wallet = createWalletClient({ chain, transport, account });

const big = (value) => (typeof value === "string" && /^0x[0-9a-f]+$/.test(value) ? BigInt(value) : value);
const numbers = (fields) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      ["to", "data", "type", "account", "nonce"].includes(name) ? value : big(value),
    ]),
  );
const act = {
  send: (fields) => wallet.sendTransaction(numbers(fields)),
  estimate: (fields) => client.estimateGas(numbers(fields)),
  call: (fields) => client.call(numbers(fields)),
};

/** The names of an error and of its causes. */
const namesOf = (error) => (error ? [error.name, ...namesOf(error.cause)] : []);

const provider = new JsonRpcProvider(url, chainId, { staticNetwork: true, batchMaxCount: 1 });
const report = {};
for (const { name, method, params, viem } of rows) {
  [requests, counted] = [0, method];
  const viemNames = await (
    viem ? act[viem.action](viem.fields) : client.request({ method, params })
  ).then(() => ["accepted"], namesOf);
  const viemRequests = requests;
  const ethersCode = await provider.send(method, params).then(
    () => "accepted",
    (error) => error.code,
  );
  report[name] = { viem: viemNames, requests: viemRequests, ethers: ethersCode };
}
console.log(JSON.stringify(report));
provider.destroy();
