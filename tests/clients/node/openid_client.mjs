// A relying party with npm openid-client: discovery, PKCE, state, nonce, userinfo, refresh, introspection, revocation,
// and dynamic registration with an initial access token.

import * as client from "openid-client";
import { options, refusal, say, visit } from "./lines.mjs";

const execute = [client.allowInsecureRequests, client.enableNonRepudiationChecks];
const issuer = new URL(options.issuer);
const config = options.initialAccessToken
  ? await client.dynamicClientRegistration(issuer, options.metadata, undefined, { execute, ...options })
  : await client.discovery(issuer, options.id, options.secret, undefined, { execute });
const metadata = config.serverMetadata();

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const expectedNonce = client.randomNonce();
const back = await visit(
  client.buildAuthorizationUrl(config, {
    redirect_uri: options.redirect_uri,
    scope: "openid email groups",
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    nonce: expectedNonce,
    max_age: "600",
  }),
);
const expected = { pkceCodeVerifier, expectedState, expectedNonce, maxAge: 600, idTokenExpected: true };

const elsewhere = new URL(back);
elsewhere.searchParams.set("iss", "https://evil.example.com");
const mixedUp = await refusal(client.authorizationCodeGrant(config, elsewhere, expected));

const tokens = await client.authorizationCodeGrant(config, back, expected);
const { sub, acr, amr } = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, sub);
const newer = await client.refreshTokenGrant(config, tokens.refresh_token);
const before = await client.tokenIntrospection(config, newer.access_token);
await client.tokenRevocation(config, newer.refresh_token);
const after = await client.tokenIntrospection(config, newer.access_token);
const over = await refusal(client.refreshTokenGrant(config, newer.refresh_token));

say({
  pkce: metadata.supportsPKCE(), mixedUp, acr, amr, userinfo, before, after, over,
  rotated: newer.refresh_token !== tokens.refresh_token, same: newer.claims().sub === sub,
});
process.exit();
