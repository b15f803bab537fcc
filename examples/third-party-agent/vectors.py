"""Checks the kit of named cases by libraries that know nothing of monsys: vectors.py FOLDER
FOLDER is monsys-wire/vectors. What only a hub can judge is not checked."""
import hashlib, hmac, json, pathlib, struct, sys
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DIFFERENT = {  # names of cases that a hub refuses and these libraries do not, and why
    "33 levels": "json has a limit of its own, which is far higher",
    "one name twice": "json keeps the last one, and nobody knows which one a hub would keep",
    "one name twice, once escaped": "as above",
    "a fraction beyond 2^53 - 1": "rfc8785 limits integers only",
}
surprises, n_checked = [], 0
FOLDER = pathlib.Path(*sys.argv[1:2])
if len(sys.argv) != 2 or not (FOLDER / "requests.json").is_file():
    sys.exit("usage: vectors.py FOLDER, where FOLDER is monsys-wire/vectors")

def check(case, is_right):
    global n_checked
    n_checked += 1
    if is_right == (case["name"] in DIFFERENT):
        surprises.append(case["name"])

def read(file):
    return json.loads((FOLDER / file).read_text("utf-8"))

def canonical(case, member):  # None where the libraries find no such form
    try:
        raw = case.get(member + "_hex")
        text = case[member] if raw is None else bytes.fromhex(raw).decode()
        return rfc8785.dumps(json.loads(text))
    except ValueError:
        return None

def mac(key, message):
    return hmac.new(bytes.fromhex(key), message, hashlib.sha256).hexdigest()

for case in read("canonical.json")["cases"] + read("numbers.json")["cases"]:
    bits = bytes.fromhex(case.get("bits", ""))
    form = rfc8785.dumps(*struct.unpack(">d", bits)) if bits else canonical(case, "input")
    check(case, (form and form.decode()) == case.get("canonical"))
for case in read("keys.json")["cases"]:
    if "mac" in case:
        check(case, mac(case["device_key"], case["message"].encode()) == case["mac"])
    elif "signature" in case:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["secret"]))
        check(case, key.sign(bytes.fromhex(case["message_hex"])).hex() == case["signature"])

agents = read("requests.json")["agents"]
secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(agents["ed25519"]["secret"]))
HAS_NO_FORM = "not_utf8 syntax depth duplicate_name number_range lone_surrogate".split()
for case in read("requests.json")["cases"]:
    headers, code = dict(case["headers"]), case.get("refused", {}).get("code")
    signatures = [value for name, value in case["headers"] if name.endswith("-signature")]
    if not signatures or code in HAS_NO_FORM + ["missing_header", "bad_header"]:
        continue  # nothing is signed, or nothing that has one form
    text = canonical(case, "body")
    if "x-em-nonce" in headers:
        names = "x-em-org", "x-em-device", "x-em-timestamp", "x-em-nonce"
        claim = "em1\n" + "".join(headers[name] + "\n" for name in names)
        signature = mac(agents["hmac"]["key"], claim.encode() + text)
    else:
        signature = secret.sign(b"monsys-ingest-v1\n" + text).hex()
    is_wrong = code == "bad_signature" or case["name"] == "a wrong MAC is unauthorized"
    check(case, ([signature] == signatures) != is_wrong)
for name, reason in DIFFERENT.items():
    print(f"differs: {name}: {reason}")
print(n_checked, "cases checked")
if surprises:
    sys.exit(f"expected agreement, or a difference in the list: {surprises}")
