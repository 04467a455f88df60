// Signs typed data with viem and with ethers, as a wallet would: node typed_data.mjs '{key, documents}'.
// Prints for each document both digests and both signatures.

import { TypedDataEncoder, Wallet } from "ethers";
import { hashTypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { key, documents } = JSON.parse(process.argv[2]);
const account = privateKeyToAccount(key);
const wallet = new Wallet(key);

const answers = [];
for (const document of documents) {
  const { EIP712Domain, ...types } = document.types; // ethers derives the domain's own type
  answers.push({
    digests: [
      hashTypedData(document),
      TypedDataEncoder.hash(document.domain, types, document.message),
    ],
    signatures: [
      await account.signTypedData(document),
      await wallet.signTypedData(document.domain, types, document.message),
    ],
  });
}
console.log(JSON.stringify(answers));
