// How the scripts of this folder talk to the test that runs them: lines of JSON out, lines of text in.

import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

// Node 18, which Debian 12 has, lacks them.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;

export const options = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const say = (fact) => console.log(JSON.stringify(fact));
export const hear = async () => (await lines.next()).value;

// Leads the test's browser to `url`; resolves with the address that it comes back with.
export async function visit(url) {
  say({ visit: String(url) });
  return new URL(await hear());
}

// What `call` is rejected with, as the client understands it.
export async function refusal(call) {
  try {
    return { accepted: await call };
  } catch (error) {
    return { code: error.code, error: error.error, status: error.status };
  }
}
