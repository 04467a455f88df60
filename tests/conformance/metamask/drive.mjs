// MetaMask without a browser: its own network and transaction controllers, driven by its own calls.
//
// What stands beside them in the extension (keyring, accounts, approvals, feature flags) is the least
// that they ask of it here: one account, everything approved, no flag set, no simulation service.

import { Messenger } from "@metamask/messenger";
import { NetworkController, RpcEndpointType } from "@metamask/network-controller";
import { TransactionController } from "@metamask/transaction-controller";

const { url, chainId, key, address, token, friend } = JSON.parse(process.argv[2]);

// --- the extension around the controllers ---------------------------------------------------------

const root = new Messenger({ namespace: "Root" });
function messenger(namespace, actions = [], events = []) {
  const made = new Messenger({ namespace, parent: root });
  root.delegate({ messenger: made, actions, events });
  return made;
}
const surroundings = {
  AccountsController: {
    getSelectedAccount: () => ({ address, id: "one", type: "eip155:eoa", metadata: {} }),
    getState: () => ({ internalAccounts: { accounts: {}, selectedAccount: "one" } }),
  },
  ApprovalController: { addRequest: async () => ({}) },
  ErrorReportingService: { captureException: (error) => console.error(error) },
  KeyringController: {
    signEip7702Authorization: async () => {
      throw new Error("nobody is asked for that");
    },
  },
  RemoteFeatureFlagController: { getState: () => ({ remoteFeatureFlags: {}, cacheTimestamp: 0 }) },
};
const offered = Object.entries(surroundings).flatMap(([namespace, actions]) => {
  const own = messenger(namespace);
  return Object.entries(actions).map(([name, act]) => {
    own.registerActionHandler(`${namespace}:${name}`, act);
    return `${namespace}:${name}`;
  });
});
const offeredBy = (...namespaces) =>
  offered.filter((action) => namespaces.includes(action.split(":")[0]));

// --- add the network ------------------------------------------------------------------------------

const asked = {};
async function countingFetch(input, init) {
  for (const { method } of [JSON.parse(init.body)].flat()) asked[method] = (asked[method] ?? 0) + 1;
  return fetch(input, init);
}
const network = new NetworkController({
  messenger: messenger("NetworkController", offeredBy("ErrorReportingService")),
  infuraProjectId: "0".repeat(32),
  getRpcServiceOptions: () => ({ fetch: countingFetch, btoa }),
  getBlockTrackerOptions: () => ({ pollingInterval: 500 }),
});
const added = network.addNetwork({
  chainId: `0x${chainId.toString(16)}`,
  name: "perpnode",
  nativeCurrency: "ETH",
  blockExplorerUrls: [],
  defaultRpcEndpointIndex: 0,
  rpcEndpoints: [{ type: RpcEndpointType.Custom, url }],
});
const { networkClientId } = added.rpcEndpoints[0];
await network.setActiveNetwork(networkClientId);

// --- send -----------------------------------------------------------------------------------------

const transactions = new TransactionController({
  disableHistory: true,
  disableSendFlowHistory: true,
  disableSwaps: true,
  getCurrentNetworkEIP1559Compatibility: async () => network.getEIP1559Compatibility(),
  getNetworkClientRegistry: () => network.getNetworkClientRegistry(),
  getNetworkState: () => network.state,
  hooks: {},
  isAutomaticGasFeeUpdateEnabled: () => false,
  isFirstTimeInteractionEnabled: () => false,
  isSimulationEnabled: () => false,
  messenger: messenger(
    "TransactionController",
    [
      ...offeredBy(
        "AccountsController",
        "ApprovalController",
        "KeyringController",
        "RemoteFeatureFlagController",
      ),
      "NetworkController:findNetworkClientIdByChainId",
      "NetworkController:getNetworkClientById",
    ],
    ["NetworkController:stateChange"],
  ),
  sign: async (transaction) => transaction.sign(Buffer.from(key.slice(2), "hex")),
  transactionHistoryLimit: 40,
});

async function send(request) {
  const options = { networkClientId, requireApproval: false, origin: "metamask" };
  const { result, transactionMeta } = await transactions.addTransaction(
    { from: address, ...request },
    options,
  );
  await result.catch(() => {}); // its status says so
  while (true) {
    const sent = transactions.state.transactions.find(({ id }) => id === transactionMeta.id);
    if (["confirmed", "failed", "dropped"].includes(sent.status)) return sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const amount = (value) => value.toString(16).padStart(64, "0");
const gift = { to: friend, value: "0xde0b6b3a7640000" };
const transfer = `0xa9059cbb${friend.slice(2).padStart(64, "0")}${amount(1_000_000)}`;

const report = {
  network: network.state.networksMetadata[networkClientId],
  native: await send(gift),
  token: await send({ to: token, data: transfer }),
  queued: await Promise.all([send(gift), send(gift)]),
  refused: await send({ to: friend, value: `0x${"f".repeat(26)}` }),
  asked,
};
console.log(JSON.stringify(report));
process.exit();
