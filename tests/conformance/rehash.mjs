// Transactions and headers, taken apart by viem and ethers and put together again: the same hashes.

import { JsonRpcProvider, Transaction, encodeRlp, keccak256 as ethersKeccak256 } from "ethers";
import {
  createPublicClient,
  http,
  keccak256,
  recoverTransactionAddress,
  serializeTransaction,
  toRlp,
} from "viem";
import { headerFields } from "./proof.mjs";

const { url, hashes } = JSON.parse(process.argv[2]);
const client = createPublicClient({ transport: http(url) });
const provider = new JsonRpcProvider(url);

const report = {};
for (const hash of hashes) {
  const tx = await client.getTransaction({ hash });
  const { type, chainId, nonce, gas, to, value, input: data, r, s, v, yParity } = tx;
  const fees =
    type === "eip1559"
      ? { maxFeePerGas: tx.maxFeePerGas, maxPriorityFeePerGas: tx.maxPriorityFeePerGas }
      : { gasPrice: tx.gasPrice };
  const { accessList } = tx;
  const fields = { type, chainId, nonce, gas, to, value, data, accessList, ...fees };
  const serialized = serializeTransaction(fields, type === "legacy" ? { r, s, v } : { r, s, yParity });
  const parsed = Transaction.from(await provider.getTransaction(hash));
  const sender = await recoverTransactionAddress({ serializedTransaction: serialized });
  report[hash] = {
    type,
    viem: keccak256(serialized) === hash && sender.toLowerCase() === tx.from,
    ethers: parsed.hash === hash && parsed.from.toLowerCase() === tx.from,
  };
  if (tx.blockHash === null) continue;
  const header = await client.request({ method: "eth_getBlockByHash", params: [tx.blockHash, false] });
  const encoded = headerFields(header);
  report[hash].header =
    keccak256(toRlp(encoded)) === header.hash && ethersKeccak256(encodeRlp(encoded)) === header.hash;
}
console.log(JSON.stringify(report));
provider.destroy();
