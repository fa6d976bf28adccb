// Passkeys, which need JavaScript. The server creates the options and verifies the response; this passes them between
// server and browser.

const here = window.PublicKeyCredential;

const bytes = (text) => {
  const plain = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(plain.padEnd(Math.ceil(plain.length / 4) * 4, "=")), (letter) => letter.charCodeAt(0));
};
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// Fallbacks for browsers that support passkeys but not the methods that parse and serialize JSON.
const named = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));
const creation = (json) => here.parseCreationOptionsFromJSON?.(json) ?? {
  ...json,
  challenge: bytes(json.challenge),
  user: { ...json.user, id: bytes(json.user.id) },
  excludeCredentials: named(json.excludeCredentials),
};
const request = (json) => here.parseRequestOptionsFromJSON?.(json) ?? {
  ...json,
  challenge: bytes(json.challenge),
  allowCredentials: named(json.allowCredentials),
};
const plain = (credential) => {
  if (credential.toJSON) {
    try {
      return credential.toJSON();
    } catch { /* Some password managers return their own object, whose toJSON fails. */ }
  }
  const { response } = credential;
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const encoded = Object.fromEntries(parts.filter((name) => response[name]).map((name) => [name, text(response[name])]));
  if (response.getTransports) encoded.transports = response.getTransports();
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response: encoded,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
};

// An error with a translated message to show. The browser doesn't reveal why a request was declined.
class ShownError extends Error {}

// Only one request at a time: a new one aborts the previous one, such as autofill in the identity field.
let controller = null;
const begin = () => {
  controller?.abort();
  controller = new AbortController();
  return controller.signal;
};

const ask = async (path, fields, words) => {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(fields),
      cache: "no-store",
    });
  } catch {
    throw new ShownError(words.away);
  }
  const { response } = await answer.json().catch(() => ({ response: {} }));
  if (answer.status === 401 && response.reauth_required) location.assign(new URL(`../us-verify?next=${location.pathname}`, import.meta.url));
  if (!answer.ok) throw new ShownError(response.errors?.[0] ?? words.away);
  return response;
};

// Passkeys offered by autofill in the identity field. Options are valid for five minutes; while the page is visible, new
// ones are requested before that.
const REFRESH = 240000;

for (const box of here ? document.querySelectorAll("[data-passkey]") : []) {
  const kind = box.dataset.passkey;
  const words = JSON.parse(box.dataset.passkeyWords);
  const voice = box.querySelector("[data-passkey-voice]");
  const form = box.querySelector("[data-passkey-begin]");
  const finish = box.querySelector("[data-passkey-finish]");

  const options = async () => {
    const fields = Object.fromEntries(new FormData(form));
    const begun = await ask(box.dataset.passkeyPath, fields, words);
    return [begun.credential_options, begun.wan_state];
  };

  const send = (state, credential) => {
    finish.action = `${box.dataset.passkeyPath}/${state}`;
    finish.elements.credential.value = JSON.stringify(plain(credential));
    const ticked = document.getElementById(box.dataset.passkeyRemember || "passkey-remember")?.checked;
    finish.elements.remember.value = ticked ? "y" : "";
    voice.textContent = kind === "create" ? words.saving : words.checking;
    finish.submit();
  };

  const run = async (signal, json, state, more = {}) => {
    const asked = kind === "create"
      ? navigator.credentials.create({ publicKey: creation(json), signal })
      : navigator.credentials.get({ publicKey: request(json), signal, ...more });
    send(state, await asked);
  };

  const attempt = async (work) => {
    if (box.hasAttribute("aria-busy")) return;
    box.setAttribute("aria-busy", "true");
    voice.textContent = "";
    try {
      await work(begin());
    } catch (error) {
      if (error.name !== "AbortError") {
        voice.textContent = error instanceof ShownError ? error.message : words[error.name] ?? words.other;
      }
      if (box.hasAttribute("data-passkey-autofill")) offer();
    } finally {
      box.removeAttribute("aria-busy");
    }
  };

  const offer = async () => {
    if (!await here.isConditionalMediationAvailable?.()) return;
    const signal = begin();
    const again = () => {
      if (signal.aborted) return;
      if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
      else offer();
    };
    const timer = setTimeout(again, REFRESH);
    signal.addEventListener("abort", () => clearTimeout(timer));
    try {
      await run(signal, ...await options(), { mediation: "conditional" });
    } catch { /* The user didn't ask for autofill, so show no error; the button still works. */ }
  };

  box.hidden = false;
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async (signal) => run(signal, ...await options()));
  });
  box.querySelector("[data-passkey-go]")?.addEventListener("click", () => {
    attempt((signal) => run(signal, JSON.parse(box.dataset.passkeyOptions), box.dataset.passkeyState));
  });
  if (box.hasAttribute("data-passkey-autofill")) offer();
}

// Offer to create a passkey only if this device can store one.
for (const offer of document.querySelectorAll("[data-passkey-offer]")) {
  here?.isUserVerifyingPlatformAuthenticatorAvailable?.().then((can) => {
    offer.hidden = !can;
    document.querySelector("[data-passkey-offered]")?.toggleAttribute("hidden", can);  // the list then doesn't repeat it
  });
}

// Notify browsers and password managers of deleted passkeys, if they support the Signal API.
const notify = (name, fields) => here?.[name]?.(fields)?.catch(() => {});
for (const unknown of document.querySelectorAll("[data-passkey-unknown]")) {
  notify("signalUnknownCredential", { rpId: unknown.dataset.passkeyRp, credentialId: unknown.dataset.passkeyUnknown });
}
for (const list of document.querySelectorAll("[data-passkey-known]")) {
  const { passkeyRp: rpId, passkeyUser: userId, passkeyKnown: known } = list.dataset;
  notify("signalAllAcceptedCredentials", {
    rpId, userId, allAcceptedCredentialIds: known.split(" ").filter(Boolean),
  });
}
