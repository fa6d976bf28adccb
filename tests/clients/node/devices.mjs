// A device with npm openid-client or oauth4webapi (`client`): it shows a code, and polls for tokens while the user
// decides. With `dpop`, they are bound to a key. It may have a secret.

import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import { hear, options, refusal, say } from "./lines.mjs";

const issuer = new URL(options.issuer);
const parameters = { scope: "openid email offline_access" };

// Passes the code to the test, whose user decides.
async function show({ verification_uri, verification_uri_complete, user_code, expires_in, interval }) {
  say({ verification_uri, visit: verification_uri_complete, user_code, expires_in, interval });
  await hear();
}

async function withOpenidClient() {
  const execute = [client.allowInsecureRequests, client.enableNonRepudiationChecks];
  const how = options.secret ? undefined : client.None();
  const config = await client.discovery(issuer, options.id, options.secret || undefined, how, { execute });
  const device = await client.initiateDeviceAuthorization(config, parameters);
  await show(device);
  const poll = client.pollDeviceAuthorizationGrant(config, { ...device, interval: 0 });
  const tokens = await refusal(poll);
  if (!tokens.accepted) return tokens;
  const { sub } = tokens.accepted.claims();
  const userinfo = await client.fetchUserInfo(config, tokens.accepted.access_token, sub);
  const newer = await client.refreshTokenGrant(config, tokens.accepted.refresh_token);
  return { userinfo, same: newer.claims().sub === sub, type: tokens.accepted.token_type };
}

async function withOauth4webapi() {
  const http = { [oauth.allowInsecureRequests]: true };
  const me = { client_id: options.id };
  const auth = options.secret ? oauth.ClientSecretBasic(options.secret) : oauth.None();
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
  const keys = options.dpop && (await oauth.generateKeyPair("ES256"));
  const bound = keys ? { ...http, DPoP: oauth.DPoP(me, keys) } : http;
  const answer = await oauth.deviceAuthorizationRequest(as, me, auth, parameters, http);
  const device = await oauth.processDeviceAuthorizationResponse(as, me, answer);
  const poll = async () => {
    const response = await oauth.deviceCodeGrantRequest(as, me, auth, device.device_code, bound);
    return oauth.processDeviceCodeResponse(as, me, response);
  };
  const pending = await refusal(poll());
  const early = await refusal(poll());
  await show(device);
  const tokens = await refusal(poll());
  if (!tokens.accepted) return tokens;
  const { sub } = oauth.getValidatedIdTokenClaims(tokens.accepted);
  const response = await oauth.userInfoRequest(as, me, tokens.accepted.access_token, bound);
  const userinfo = await oauth.processUserInfoResponse(as, me, sub, response);
  const twice = await refusal(poll());
  const { status: stolen } = await oauth.userInfoRequest(as, me, tokens.accepted.access_token, http);
  return { pending, early, userinfo, twice, stolen, type: tokens.accepted.token_type };
}

say(await { "openid-client": withOpenidClient, oauth4webapi: withOauth4webapi }[options.client]());
process.exit();
