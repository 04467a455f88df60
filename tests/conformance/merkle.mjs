// Builds OpenZeppelin's tree of refunds: node merkle.mjs '[[index, account, amount], …]'.
// Prints the root and, by index, each refund's proof.

import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const refunds = JSON.parse(process.argv[2]);
const tree = StandardMerkleTree.of(refunds, ["uint256", "address", "uint256"]);
const proofs = refunds.map((_, index) => tree.getProof(index));
console.log(JSON.stringify({ root: tree.root, proofs }));
