// Checks the kit of named cases by libraries that know nothing of monsys: vectors.mjs FOLDER
// FOLDER is monsys-wire/vectors. What only a hub can judge is not checked.
import { createHmac, createPrivateKey, sign } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import canonicalize from "canonicalize";

const DIFFERENT = { // names of cases that a hub refuses and these libraries do not, and why
  "33 levels": "JSON.parse has no limit",
  "one name twice": "JSON.parse keeps the last one; nobody knows which one a hub would keep",
  "one name twice, once escaped": "as above",
  "2^53": "canonicalize takes every finite number",
  "a fraction beyond 2^53 - 1": "as above",
};
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const surprises = [];
let nChecked = 0;
const folder = process.argv[2] ?? "";
if (!folder || !fs.existsSync(path.join(folder, "requests.json"))) {
  console.error("usage: vectors.mjs FOLDER, where FOLDER is monsys-wire/vectors");
  process.exit(1);
}

const read = (file) => JSON.parse(fs.readFileSync(path.join(folder, file)));

function check(name, isRight) {
  nChecked += 1;
  if (isRight === Object.hasOwn(DIFFERENT, name)) surprises.push(name);
}

function canonical(text, hex) { // undefined where the libraries find no such form
  try {
    return canonicalize(JSON.parse(text ?? utf8.decode(Buffer.from(hex, "hex"))));
  } catch {}
}

function signed(secret, message) { // PKCS #8 is this prefix and the 32 bytes of RFC 8032
  const der = Buffer.from("302e020100300506032b657004220420" + secret, "hex");
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return sign(null, message, key).toString("hex");
}

const mac = (key, text) => createHmac("sha256", Buffer.from(key, "hex")).update(text).digest("hex");

for (const one of [...read("canonical.json").cases, ...read("numbers.json").cases]) {
  const double = one.bits && Buffer.from(one.bits, "hex").readDoubleBE();
  const form = one.bits ? canonicalize(double) : canonical(one.input, one.input_hex);
  check(one.name, form === one.canonical);
}
for (const one of read("keys.json").cases) {
  const message = Buffer.from(one.message_hex ?? "", "hex");
  if (one.mac) check(one.name, mac(one.device_key, one.message) === one.mac);
  else if (one.signature) check(one.name, signed(one.secret, message) === one.signature);
}

const { agents, cases } = read("requests.json");
const NOTHING_SIGNED = ["not_utf8", "syntax", "depth", "duplicate_name", "number_range",
  "lone_surrogate", "missing_header", "bad_header"];
for (const { name, headers, body, refused } of cases) {
  const sent = headers.filter(([header]) => header.endsWith("-signature"));
  if (!sent.length || NOTHING_SIGNED.includes(refused?.code)) continue;
  const { "x-em-org": org, "x-em-device": device, "x-em-timestamp": at, "x-em-nonce": nonce } =
    Object.fromEntries(headers);
  const text = canonical(body);
  const made = nonce ? mac(agents.hmac.key, `em1\n${org}\n${device}\n${at}\n${nonce}\n${text}`)
    : signed(agents.ed25519.secret, Buffer.from("monsys-ingest-v1\n" + text));
  const isWrong = refused?.code === "bad_signature" || name === "a wrong MAC is unauthorized";
  check(name, (sent.length === 1 && sent[0][1] === made) !== isWrong);
}
for (const [name, reason] of Object.entries(DIFFERENT)) console.log(`differs: ${name}: ${reason}`);
console.log(nChecked, "cases checked");
if (surprises.length) {
  console.error("expected agreement, or a difference in the list:", surprises);
  process.exit(1);
}
