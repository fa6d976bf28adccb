// How these scripts communicate with their test: lines of JSON out, lines of text in.

import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

// Node 18 of Debian 12 lacks them.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;

export const options = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const say = (fact) => console.log(JSON.stringify(fact));
export const hear = async () => (await lines.next()).value;

// Sends the test's browser to `url`; resolves with the URL that it returns to.
export async function visit(url) {
  say({ visit: String(url) });
  return new URL(await hear());
}

// The error that `call` rejects with, as parsed by the client.
export async function refusal(call) {
  try {
    return { accepted: await call };
  } catch (error) {
    return { code: error.code, error: error.error, status: error.status };
  }
}
