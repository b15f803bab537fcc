// A monsys agent, ed25519 profile: node agent.mjs HUB STATE_FILE
// The first run enrols with the token in MONSYS_TOKEN. Each run measures and sends once; a hub
// expects one every 15 s. A run that fails keeps what is undelivered for the next one.
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import canonicalize from "canonicalize";

const fail = (why) => { console.error(why.replace(/\p{Cc}+/gu, " ")); process.exit(1); };
const signed = (text) => sign(null, Buffer.from(text), key).toString("hex");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const [HUB, PATH] = process.argv.slice(2);
if (!PATH || !/^(https:\/\/|http:\/\/(127\.0\.0\.1|localhost):)/.test(HUB))
  fail("expected HUB STATE_FILE; HUB at https://, because the token could be read on the way");

function save() { // as a whole and on the disk: no crash may give a position twice
  fs.writeFileSync(PATH + ".new", JSON.stringify(state), { mode: 0o600, flush: true });
  fs.renameSync(PATH + ".new", PATH);
}

async function call(path, body, own) { // status and JSON of a hub, or the text of whatever it was
  const bearer = { Authorization: "Bearer " + state.token, "Content-Type": "application/json" };
  const rules = { method: body && "POST", redirect: "manual", signal: AbortSignal.timeout(10_000) };
  try {
    const answer = await fetch(HUB + path, { ...rules, body, headers: { ...bearer, ...own } });
    const form = answer.headers.get("content-type")?.split(";")[0], text = await answer.text();
    const wanted = answer.ok ? "application/json" : "application/problem+json";
    return [answer.status, form === wanted ? JSON.parse(text) ?? text : text];
  } catch (problem) {
    fail(`expected a hub at ${HUB}: ${problem.cause?.message || problem}`);
  }
}

function cpuTimes() { // milliseconds of all cores together
  const sum = (numbers) => numbers.reduce((one, other) => one + other);
  const times = os.cpus().map((core) => core.times);
  return { all: sum(times.flatMap(Object.values)), idle: sum(times.map((time) => time.idle)) };
}

async function deliver(payload) {
  const text = canonicalize({ ...payload, sent_at: new Date().toISOString() });
  const signature = signed("monsys-ingest-v1\n" + text);
  const [status, said] = await call("/api/v1/ingest", text, { "X-Monsys-Signature": signature });
  console.log("epoch", payload.epoch, "seq", payload.seq, JSON.stringify(said));
  const isTaken = [200, 202].includes(status) && ["accepted", "duplicate"].includes(said.status);
  const code = typeof said.code === "string" && said.code;
  if (isTaken || (code && [400, 413, 415, 422].includes(status))) return state.queue.pop();
  const epoch = { stale_epoch: said.min_epoch, replay: state.epoch + 1 }[code];
  if (status !== 409 || !Number.isSafeInteger(epoch) || epoch <= state.epoch)
    fail(`expected accepted, duplicate or a higher epoch, got ${status} ${JSON.stringify(said)}`);
  Object.assign(state, { epoch, seq: state.queue.length }); // as after a restored backup
  state.queue.forEach((waiting, i) => Object.assign(waiting, { epoch, seq: i + 1 }));
}

const state = fs.existsSync(PATH) ? JSON.parse(fs.readFileSync(PATH)) : { epoch: 1, seq: 0,
  queue: [], key: generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }) };
state.token = process.env.MONSYS_TOKEN || state.token || fail("expected MONSYS_TOKEN, once");
const key = createPrivateKey({ key: state.key, format: "jwk" });
save(); // before the key is pinned, because the hub takes no other key afterwards
if (!state.aud) { // after a crash this pins the same key again, which changes nothing
  const me = await call("/api/v1/agents/self"), { aud, agent_id } = me[1];
  if (typeof aud !== "string" || typeof agent_id !== "string")
    fail(`expected /api/v1/agents/self to name this agent, got ${JSON.stringify(me)}`);
  const public_key = Buffer.from(state.key.x, "base64url").toString("hex");
  const signature = signed(`monsys-pin-v1\n${aud}\n${agent_id}\n${public_key}\n`);
  const answer = await call("/api/v1/agents/pin", JSON.stringify({ public_key, signature }));
  if (answer[1].pinned !== public_key)
    fail(`expected the hub to pin the key of this agent, got ${JSON.stringify(answer)}`);
  Object.assign(state, { aud, agent_id });
}
const [before, , after] = [cpuTimes(), await sleep(1_000), cpuTimes()];
const cpu = 100 * (1 - (after.idle - before.idle) / (after.all - before.all));
const { aud, agent_id, epoch } = state, captured_at = new Date().toISOString();
state.queue.push({ v: 1, type: "metrics", agent_version: "0.1.0", aud, agent_id, epoch, captured_at,
  seq: ++state.seq, data: { cpu_usage_percent: cpu, load1: os.loadavg()[0] } });
while (state.queue.length) {
  save(); // a position is used up before the hub sees it
  await deliver(state.queue.at(-1)); // the freshest first: so the hub knows the others for backlog
}
save();
