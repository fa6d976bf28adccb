// Better Auth as its documents set it up: codes and links by email, limits off, two processes by node:cluster.
// `node better_auth_app.mjs serve PORT PROCESSES`, or `make`: the tables, by its own migrations.
import cluster from "node:cluster";
import http from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { emailOTP, magicLink } from "better-auth/plugins";
import Database from "better-sqlite3";
import nodemailer from "nodemailer";
import pg from "pg";

const { PEER_DATABASE: url, PEER_KEY: secret, PEER_MAIL_PORT: mailPort, PEER_ORIGIN: baseURL } = process.env;
const [, , what, port, processes] = process.argv;
const mail = nodemailer.createTransport({ host: "127.0.0.1", port: Number(mailPort), pool: true, ignoreTLS: true });

function connect() {
  if (url.startsWith("postgresql:")) return new pg.Pool({ connectionString: url, max: 8 });
  const database = new Database(url.slice("sqlite:///".length), { timeout: 5000 });
  database.pragma("journal_mode = WAL"); // the same durability as ours
  database.pragma("synchronous = FULL");
  return database;
}

// Its documents advise against waiting for the mail: the answer's time would tell who has an account.
function send(to, subject, text) {
  mail.sendMail({ from: "no-reply@login.example.com", to, subject, text }).catch((error) => console.error(error));
}

function make() {
  return betterAuth({
    database: connect(),
    baseURL,
    secret,
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    plugins: [
      emailOTP({
        disableSignUp: true, allowedAttempts: 5, expiresIn: 600,
        sendVerificationOTP: async ({ email, otp }) => send(email, "Your sign-in code", `Your sign-in code:\n\n${otp}\n`),
      }),
      magicLink({
        disableSignUp: true, expiresIn: 600,
        sendMagicLink: async ({ email, url: link }) => send(email, "Your sign-in link", `Sign in:\n\n${link}\n`),
      }),
    ],
  });
}

if (what === "make") {
  await (await getMigrations(make().options)).runMigrations();
  process.exit(0);
} else if (cluster.isPrimary) {
  for (let each = 0; each < Number(processes); each += 1) cluster.fork();
  process.on("SIGTERM", () => { for (const each of Object.values(cluster.workers)) each.kill(); process.exit(0); });
} else {
  const handle = toNodeHandler(make());
  const server = http.createServer((request, response) => {
    if (request.url === "/healthz") response.end("ok");
    else handle(request, response);
  });
  server.keepAliveTimeout = 120_000;
  server.listen(Number(port), "127.0.0.1");
}
