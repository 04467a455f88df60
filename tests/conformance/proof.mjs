// A Merkle Patricia proof checked with nothing but a library's keccak256 and RLP (yellow paper, D).

const EMPTY = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

const nibblesOf = (hex) => [...hex.slice(2)].map((digit) => parseInt(digit, 16));

/** The value under `key` (hex) in the trie of `root`, null if the proof shows that there is none. */
export function provenValue({ root, key, proof, keccak256, decodeRlp }) {
  if (proof.length === 0 && root === EMPTY) return null;
  let path = nibblesOf(keccak256(key));
  let expected = root;
  for (const node of proof) {
    if (keccak256(node) !== expected) throw new Error(`proof node does not hash to ${expected}`);
    let item = decodeRlp(node);
    while (Array.isArray(item)) {
      if (item.length === 17) {
        item = path.length ? item[path.shift()] : item[16];
        if (path.length === 0 && !Array.isArray(item)) return item === "0x" ? null : item;
      } else {
        const [flag, ...rest] = nibblesOf(item[0]);
        const part = flag % 2 ? rest : rest.slice(1);
        if (part.some((nibble, i) => nibble !== path[i])) return null;
        path = path.slice(part.length);
        if (flag >= 2) return path.length ? null : item[1];
        item = item[1];
      }
    }
    if (item === "0x") return null;
    expected = item;
  }
  throw new Error(`proof ends before ${expected}`);
}

/** A number as RLP has it: shortest, in whole bytes, zero empty. */
export function quantity(value) {
  const digits = BigInt(value).toString(16);
  if (digits === "0") return "0x";
  return digits.length % 2 ? `0x0${digits}` : `0x${digits}`;
}

/** A header's fields in the order in which they are hashed. */
export function headerFields(block) {
  return [
    block.parentHash,
    block.sha3Uncles,
    block.miner,
    block.stateRoot,
    block.transactionsRoot,
    block.receiptsRoot,
    block.logsBloom,
    quantity(block.difficulty),
    quantity(block.number),
    quantity(block.gasLimit),
    quantity(block.gasUsed),
    quantity(block.timestamp),
    block.extraData,
    block.mixHash,
    block.nonce,
    quantity(block.baseFeePerGas),
    block.withdrawalsRoot,
  ];
}
