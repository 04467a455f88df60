// Compiles interfaces/I*.sol to abi/*.json: plain ABI arrays that every library loads as they are.
// `node compile.js` writes them, `node compile.js --check` only says whether they are up to date.
// Deterministic: solc is pinned, entries are sorted, the text ends in one newline.

const fs = require("fs");
const path = require("path");
const solc = require("solc");

const INTERFACES = path.join(__dirname, "interfaces");
const ABI = path.join(__dirname, "abi");
const SHARED = ["ISystem"]; // a base of the others, at no address
const ORDER = { function: 0, event: 1, error: 2 };

function compile() {
  const files = fs.readdirSync(INTERFACES).filter((name) => name.endsWith(".sol")).sort();
  const sources = Object.fromEntries(
    files.map((name) => [name, { content: fs.readFileSync(path.join(INTERFACES, name), "utf8") }]),
  );
  const settings = { outputSelection: { "*": { "*": ["abi"] } } };
  const input = { language: "Solidity", sources, settings };
  const find = (name) => ({ contents: sources[path.basename(name)].content });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
  if (output.errors) {
    throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
  }
  const interfaces = files.map((name) => path.basename(name, ".sol"));
  return interfaces
    .filter((name) => !SHARED.includes(name))
    .map((name) => [`${name.slice(1)}.json`, render(output.contracts[`${name}.sol`][name].abi)]);
}

function signature(entry) {
  return `${entry.name}(${entry.inputs.map((input) => input.type).join(",")})`;
}

function compare(a, b) {
  const [left, right] = [signature(a), signature(b)];
  return ORDER[a.type] - ORDER[b.type] || (left < right ? -1 : left > right ? 1 : 0);
}

function sortKeys(value) {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sortKeys(value[key])]));
}

function render(abi) {
  return JSON.stringify(sortKeys([...abi].sort(compare)), null, 2) + "\n";
}

function main() {
  const check = process.argv.includes("--check");
  const compiled = compile();
  const expected = new Map(compiled);
  const present = fs.existsSync(ABI) ? fs.readdirSync(ABI).sort() : [];
  const stale = present.filter((name) => !expected.has(name));
  for (const [name, text] of compiled) {
    const file = path.join(ABI, name);
    const old = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null;
    if (old === text) continue;
    stale.push(name);
    if (!check) {
      fs.mkdirSync(ABI, { recursive: true });
      fs.writeFileSync(file, text);
    }
  }
  if (check && stale.length > 0) {
    console.error(`abi/ differs from interfaces/: ${stale.join(", ")}; run \`npm run build\``);
    process.exit(1);
  }
}

main();
