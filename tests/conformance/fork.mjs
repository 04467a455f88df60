// What both watchers share: a word to the test, a word from it, and bounded waiting.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { report } from "./story.mjs";

const LOOKS = 1200;
const lines = createInterface({ input: process.stdin });

/** Tell the test in which block this watcher's transaction is. */
export const ready = (blockNumber) => report({ ready: Number(blockNumber) });

/** Wait until the test says that the chain was forked. */
export const goAhead = () => once(lines, "line");

/** Wait until it is so, for at most so many looks. */
export async function until(look) {
  for (let looks = 0; looks < LOOKS; looks++) {
    if (look()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not so after ${LOOKS} looks: ${look}`);
}

/** Report and end, whatever still watches. */
export async function finish(result) {
  report(result);
  await new Promise((resolve) => process.stdout.write("", resolve));
  process.exit(0);
}
