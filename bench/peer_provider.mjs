// npm oidc-provider as a subject: two processes, everything in PostgreSQL, as its documents say an adapter does it.
// `node peer_provider.mjs serve PORT PROCESSES`, or `make N`: sessions, codes and tokens for N people, a line each.
import cluster from "node:cluster";
import crypto from "node:crypto";
import pg from "pg";
import Provider from "oidc-provider";

const pool = new pg.Pool({ connectionString: process.env.PEER_DATABASE, max: 8 });

class Adapter {
  constructor(kind) { this.kind = kind; }
  async upsert(id, payload, expiresIn) {
    await pool.query(
      `INSERT INTO oidc (kind, id, payload, grant_id, uid, expires_at)
       VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
       ON CONFLICT (kind, id) DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at`,
      [this.kind, id, payload, payload.grantId ?? null, payload.uid ?? null, expiresIn ?? 86400],
    );
  }
  async #one(column, value) {
    const found = await pool.query(
      `SELECT payload, consumed_at FROM oidc WHERE kind = $1 AND ${column} = $2 AND expires_at > now()`, [this.kind, value],
    );
    if (!found.rows.length) return undefined;
    const { payload, consumed_at: consumed } = found.rows[0];
    return consumed ? { ...payload, consumed: Math.floor(consumed / 1000) } : payload;
  }
  find(id) { return this.#one("id", id); }
  findByUid(uid) { return this.#one("uid", uid); }
  findByUserCode() { return undefined; }
  async consume(id) { await pool.query("UPDATE oidc SET consumed_at = now() WHERE kind = $1 AND id = $2", [this.kind, id]); }
  async destroy(id) { await pool.query("DELETE FROM oidc WHERE kind = $1 AND id = $2", [this.kind, id]); }
  async revokeByGrantId(grantId) { await pool.query("DELETE FROM oidc WHERE grant_id = $1", [grantId]); }
}

const provider = new Provider("https://login.example.com", {
  adapter: Adapter,
  clients: [{
    client_id: "app", client_secret: process.env.PEER_SECRET, redirect_uris: ["https://app.example.com/callback"],
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
  }],
  jwks: JSON.parse(process.env.PEER_KEYS),
  cookies: { keys: [process.env.PEER_SECRET], long: { signed: false }, short: { signed: false } },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  features: { devInteractions: { enabled: false }, introspection: { enabled: true }, revocation: { enabled: true } },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, AuthorizationCode: 600, Session: 86400, Grant: 86400, IdToken: 600, RefreshToken: 86400 },
  findAccount: async (_ctx, id) => {
    const found = await pool.query("SELECT email FROM person WHERE id = $1", [id]);
    return found.rows.length && {
      accountId: id, claims: async () => ({ sub: id, email: found.rows[0].email, email_verified: true, name: id }),
    };
  },
});
provider.proxy = true;

async function make(count) {
  await pool.query(`CREATE TABLE IF NOT EXISTS oidc (kind text, id text, payload jsonb, grant_id text, uid text,
    expires_at timestamptz, consumed_at timestamptz, PRIMARY KEY (kind, id))`);
  await pool.query("CREATE INDEX IF NOT EXISTS oidc_grant ON oidc (grant_id)");
  await pool.query("CREATE INDEX IF NOT EXISTS oidc_uid ON oidc (kind, uid)");
  await pool.query("CREATE TABLE IF NOT EXISTS person (id text PRIMARY KEY, email text)");
  const client = await provider.Client.find("app");
  const challenge = crypto.createHash("sha256").update(process.env.PEER_VERIFIER).digest("base64url");
  const one = async (number) => {
    const accountId = `person${number}`;
    await pool.query("INSERT INTO person VALUES ($1, $2) ON CONFLICT DO NOTHING", [accountId, `${accountId}@example.com`]);
    const grant = new provider.Grant({ accountId, clientId: "app" });
    grant.addOIDCScope("openid email profile");
    const grantId = await grant.save(86400);
    const session = new provider.Session();
    session.loginAccount({ accountId, loginTs: Math.floor(Date.now() / 1000) - 5, amr: ["otp"] });
    session.grantIdFor("app", grantId);
    session.sidFor("app", crypto.randomUUID());
    await session.save(86400);
    const common = { accountId, client, grantId, scope: "openid email profile", claims: {},
      sessionUid: session.uid, expiresWithSession: true, gty: "authorization_code" };
    const code = await new provider.AuthorizationCode({ ...common, authTime: session.loginTs, nonce: "n",
      codeChallenge: challenge, codeChallengeMethod: "S256", redirectUri: "https://app.example.com/callback" }).save();
    const token = await new provider.AccessToken(common).save();
    return `${session.jti} ${code} ${token}`;
  };
  for (let first = 0; first < count; first += 8) {
    const batch = Array.from({ length: Math.min(8, count - first) }, (_, each) => one(first + each));
    console.log((await Promise.all(batch)).join("\n"));
  }
  await pool.end();
}

const [, , what, number, processes] = process.argv;
if (what === "make") {
  await make(Number(number));
} else if (cluster.isPrimary) {
  for (let each = 0; each < Number(processes); each += 1) cluster.fork();
  process.on("SIGTERM", () => { for (const each of Object.values(cluster.workers)) each.kill(); process.exit(0); });
} else {
  provider.listen(Number(number), "127.0.0.1");
}
