// Compiles interfaces/I*.sol to abi/*.json: plain ABI arrays that every library loads as they are.
// `node compile.js` writes them, `node compile.js --check` only says whether they are up to date.
// Deterministic: solc is pinned, entries and keys are sorted, a file ends in one newline.
// Refuses a function, event, error or parameter without NatSpec.

const fs = require("fs");
const path = require("path");
const solc = require("solc");

const INTERFACES = path.join(__dirname, "interfaces");
const ABI = path.join(__dirname, "abi");
const SHARED = ["ISystem"]; // a base of the others, at no address
const ORDER = { function: 0, event: 1, error: 2 };

/** Returns [file name, text] of each contract's ABI. */
function compile() {
  const files = fs.readdirSync(INTERFACES).filter((name) => name.endsWith(".sol")).sort();
  const sources = Object.fromEntries(
    files.map((name) => [name, { content: fs.readFileSync(path.join(INTERFACES, name), "utf8") }]),
  );
  const settings = { outputSelection: { "*": { "*": ["abi", "userdoc", "devdoc"] } } };
  const output = JSON.parse(
    solc.compile(JSON.stringify({ language: "Solidity", sources, settings })),
  );
  if (output.errors) {
    throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
  }
  return files
    .map((name) => path.basename(name, ".sol"))
    .filter((name) => !SHARED.includes(name))
    .map((name) => {
      const compiled = output.contracts[`${name}.sol`][name];
      requireNatSpec(name, compiled);
      return [`${name.slice(1)}.json`, render(compiled.abi)];
    });
}

function signature(entry) {
  return `${entry.name}(${entry.inputs.map((input) => canonicalType(input)).join(",")})`;
}

function canonicalType(parameter) {
  if (!parameter.type.startsWith("tuple")) return parameter.type;
  const components = parameter.components.map(canonicalType).join(",");
  return parameter.type.replace("tuple", `(${components})`);
}

function requireNatSpec(name, { abi, userdoc, devdoc }) {
  for (const entry of abi) {
    const kind = entry.type === "function" ? "methods" : `${entry.type}s`;
    const find = (doc) => [doc[kind]?.[signature(entry)]].flat()[0] ?? {};
    const missing = entry.inputs.filter((input) => !find(devdoc).params?.[input.name]);
    const returns = (entry.outputs ?? []).filter(
      (output, index) => !find(devdoc).returns?.[output.name || `_${index}`],
    );
    if (!find(userdoc).notice || missing.length > 0 || returns.length > 0) {
      const what = [...missing, ...returns].map((each) => each.name || "return value");
      throw new Error(`${name}.${signature(entry)}: no NatSpec for ${what.join(", ") || "it"}`);
    }
  }
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

/** Returns file name -> text of what abi/ holds. */
function present() {
  if (!fs.existsSync(ABI)) return new Map();
  const read = (name) => [name, fs.readFileSync(path.join(ABI, name), "utf8")];
  return new Map(fs.readdirSync(ABI).sort().map(read));
}

function main() {
  const wanted = new Map(compile());
  const found = present();
  const names = new Set([...wanted.keys(), ...found.keys()]);
  const different = [...names].filter((name) => wanted.get(name) !== found.get(name));
  if (process.argv.includes("--check")) {
    if (different.length === 0) return;
    console.error(`abi/ differs from interfaces/: ${different.join(", ")}; run \`npm run build\``);
    process.exit(1);
  }
  fs.mkdirSync(ABI, { recursive: true });
  for (const name of different) {
    if (wanted.has(name)) fs.writeFileSync(path.join(ABI, name), wanted.get(name));
    else fs.rmSync(path.join(ABI, name));
  }
}

main();
