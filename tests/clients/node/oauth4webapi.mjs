// A relying party with npm oauth4webapi, which validates every response strictly. It has a secret, or a key (`jwk`) to
// sign assertions with, or neither. With `dpop`, its tokens are bound to another key.

import * as oauth from "oauth4webapi";
import { options, refusal, say, visit } from "./lines.mjs";

const issuer = new URL(options.issuer);
const client = { client_id: options.id, require_auth_time: true, id_token_signed_response_alg: options.alg };
const keys = options.dpop && (await oauth.generateKeyPair("ES256"));
const http = { [oauth.allowInsecureRequests]: true };
const bound = keys ? { ...http, DPoP: oauth.DPoP(client, keys) } : http;
const auth = await authentication();

async function authentication() {
  if (options.secret) return oauth.ClientSecretBasic(options.secret);
  if (!options.jwk) return oauth.None();
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("jwk", options.jwk, curve, false, ["sign"]);
  return oauth.PrivateKeyJwt({ key, kid: options.jwk.kid });
}

async function server(algorithm) {
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...http, algorithm }));
}

const as = await server("oidc");
const bare = await server("oauth2");

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const request = new URL(as.authorization_endpoint);
request.search = new URLSearchParams({
  client_id: client.client_id,
  redirect_uri: options.redirect_uri,
  response_type: "code",
  scope: options.scope,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
});
const back = await visit(request);

// Retry if the server requires its nonce in the proof (RFC 9449, section 8).
async function withNonce(call) {
  try {
    return await call();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return call();
  }
}

const exchange = (parameters, code_verifier) =>
  withNonce(async () => {
    const response = await oauth.authorizationCodeGrantRequest(
      as, client, auth, parameters, options.redirect_uri, code_verifier, bound,
    );
    const expected = { expectedNonce: nonce, requireIdToken: true };
    const result = await oauth.processAuthorizationCodeResponse(as, client, response, expected);
    await oauth.validateApplicationLevelSignature(as, response, http);
    return result;
  });

const refresh = (token, options = bound) =>
  withNonce(async () => {
    const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, options);
    return oauth.processRefreshTokenResponse(as, client, response);
  });

// A client without a secret can't introspect.
async function introspect(token) {
  if (!options.secret && !options.jwk) return undefined;
  const response = await oauth.introspectionRequest(as, client, auth, token, http);
  return oauth.processIntrospectionResponse(as, client, response);
}

const parameters = oauth.validateAuthResponse(as, client, back, state);
const wrong = await refusal(exchange(parameters, oauth.generateRandomCodeVerifier()));
const tokens = await exchange(parameters, verifier);
const { sub } = oauth.getValidatedIdTokenClaims(tokens);
const userinfo = await withNonce(async () => {
  const answer = await oauth.userInfoRequest(as, client, tokens.access_token, bound);
  return oauth.processUserInfoResponse(as, client, sub, answer);
});
const { status: stolen } = await oauth.userInfoRequest(as, client, tokens.access_token, http); // as if without the key
const newer = await refresh(tokens.refresh_token);
const before = await introspect(newer.access_token);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, newer.access_token, http));
const after = await introspect(newer.access_token);
const twice = await refusal(exchange(parameters, verifier));
const over = await refusal(refresh(newer.refresh_token));

const anotherServer = { ...as, issuer: "https://evil.example.com" };
const mixedUp = await refusal((async () => oauth.validateAuthResponse(anotherServer, client, back, state))());

say({
  type: tokens.token_type, stolen, same: as.issuer === bare.issuer,
  wrong, userinfo, before, after, twice, over, mixedUp,
});
process.exit();
