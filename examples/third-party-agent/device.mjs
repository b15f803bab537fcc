// A monsys agent, hmac profile: node device.mjs HUB ENROLMENT_FILE STATE_FILE
// ENROLMENT_FILE is what `monsys-hub agent enrol --profile hmac --json` printed. Each run measures
// and sends once; a hub expects one every 15 s. What is undelivered is kept for the next run.
import { createHmac, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import canonicalize from "canonicalize";

const fail = (why) => { console.error(why.replace(/\p{Cc}+/gu, " ")); process.exit(1); };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const [HUB, ENROLMENT_FILE, PATH] = process.argv.slice(2);
if (!PATH) fail("usage: device.mjs HUB ENROLMENT_FILE STATE_FILE");
const { org, device, key, aud } = JSON.parse(fs.readFileSync(ENROLMENT_FILE));

function save() { // as a whole and on the disk: no crash may give a position twice
  fs.writeFileSync(PATH + ".new", JSON.stringify(state), { mode: 0o600, flush: true });
  fs.renameSync(PATH + ".new", PATH);
}

function signed(text) { // a nonce belongs to one request, so every attempt makes another one
  const stamp = String(Math.floor((Date.now() + state.offset_ms) / 1_000));
  const nonce = randomBytes(16).toString("base64url");
  const mac = createHmac("sha256", Buffer.from(key, "hex"))
    .update(`em1\n${org}\n${device}\n${stamp}\n${nonce}\n` + text).digest("hex");
  return { "X-EM-Org": org, "X-EM-Device": device, "X-EM-Timestamp": stamp, "X-EM-Nonce": nonce,
    "X-EM-Signature": mac, "Content-Type": "application/json" };
}

async function call(body) { // status and JSON of a hub, or the text of whatever it was
  const rules = { method: "POST", redirect: "manual", signal: AbortSignal.timeout(10_000) };
  try {
    const answer = await fetch(HUB + "/ingest", { ...rules, body, headers: signed(body) });
    const form = answer.headers.get("content-type")?.split(";")[0], text = await answer.text();
    const wanted = answer.ok ? "application/json" : "application/problem+json";
    const said = form === wanted ? JSON.parse(text) ?? text : text;
    const hubTime = Date.parse(said.server_time); // for the timestamps of requests only
    if (hubTime) state.offset_ms = hubTime - Date.now();
    return [answer.status, said];
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
  let [status, said] = await call(text);
  if (["stale", "replay"].includes(said.code)) // the clock was wrong, or the nonce used up
    [status, said] = await call(text);
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

const state = fs.existsSync(PATH) ? JSON.parse(fs.readFileSync(PATH))
  : { epoch: 1, seq: 0, offset_ms: 0, queue: [] };
const [before, , after] = [cpuTimes(), await sleep(1_000), cpuTimes()];
const cpu = 100 * (1 - (after.idle - before.idle) / (after.all - before.all));
const captured_at = new Date().toISOString();
state.queue.push({ v: 1, type: "metrics", agent_version: "0.1.0", aud, agent_id: device,
  epoch: state.epoch, seq: ++state.seq, captured_at,
  data: { cpu_usage_percent: cpu, load1: os.loadavg()[0] } });
while (state.queue.length) {
  save(); // a position is used up before the hub sees it
  await deliver(state.queue.at(-1)); // the freshest first: so the hub knows the others for backlog
}
save();
