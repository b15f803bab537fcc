"""A monsys agent for Linux, ed25519 profile: agent.py HUB STATE_FILE
The first run enrols with the token in MONSYS_TOKEN. Each run measures and sends once; a hub
expects one every 15 s. A run that fails keeps what is undelivered for the next one."""
import http.client, json, os, sys, time
from urllib import error, request
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HUB, PATH = sys.argv[1:]
if not HUB.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
    sys.exit("expected a hub at https://, because the token could be read on the way")

def save():  # as a whole and on the disk: no crash may give a position twice
    with open(os.open(PATH + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(PATH + ".new", PATH)

def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

def call(path, body=None, **headers):
    headers |= {"Authorization": "Bearer " + state["token"], "Content-Type": "application/json"}
    try:
        with request.urlopen(request.Request(HUB + path, body, headers), timeout=10) as answer:
            return json.load(answer)
    except error.HTTPError as refusal:
        text = refusal.read(65_536).decode(errors="replace")
        if '"code"' in text and refusal.code in (400, 409, 413, 415, 422):  # the payload's fault
            return json.loads(text)
        sys.exit(f"{path} was refused with {refusal.code}: {text}")
    except (OSError, ValueError, http.client.HTTPException) as problem:
        sys.exit(f"expected a hub at {HUB}: {problem}")

def enrol():  # after a crash it pins the same key again, which changes nothing
    me, public = call("/api/v1/agents/self"), key.public_key().public_bytes_raw().hex()
    proof = f"monsys-pin-v1\n{me['aud']}\n{me['agent_id']}\n{public}\n".encode()
    pin = {"public_key": public, "signature": key.sign(proof).hex()}
    if call("/api/v1/agents/pin", json.dumps(pin).encode()).get("pinned") != public:
        sys.exit("expected the hub to pin the key of this agent")
    state.update(aud=me["aud"], agent_id=me["agent_id"])

def cpu_times():
    with open("/proc/stat") as file:
        times = [int(word) for word in file.readline().split()[1:9]]
    return sum(times), sum(times[3:5])  # all, and of it what was idle or waited for a disk

def deliver(payload):
    text = rfc8785.dumps(payload | {"sent_at": now()})
    signature = key.sign(b"monsys-ingest-v1\n" + text).hex()
    said = call("/api/v1/ingest", text, **{"X-Monsys-Signature": signature})
    print("epoch", payload["epoch"], "seq", payload["seq"], json.dumps(said))
    if said.get("code") not in ("stale_epoch", "replay"):
        return state["queue"].remove(payload)  # delivered, or it would be refused again
    # This state is older than what the hub saw, as after a restored backup.
    state.update(epoch=said.get("min_epoch", state["epoch"] + 1), seq=len(state["queue"]))
    for seq, waiting in enumerate(state["queue"], 1):
        waiting.update(epoch=state["epoch"], seq=seq)

state = {"key": os.urandom(32).hex(), "epoch": 1, "seq": 0, "queue": []}
if os.path.exists(PATH):
    with open(PATH) as file:
        state = json.load(file)
token = os.environ.get("MONSYS_TOKEN") or state.get("token")
state["token"] = token or sys.exit("expected MONSYS_TOKEN, once")
save()  # before the key is pinned, because the hub takes no other key afterwards
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(state["key"]))
if "aud" not in state:
    enrol()
(all_before, idle_before), _, (all_after, idle_after) = cpu_times(), time.sleep(1), cpu_times()
cpu = 100 * (1 - (idle_after - idle_before) / (all_after - all_before))
state["seq"] += 1
state["queue"].append({"v": 1, "type": "metrics", "agent_version": "0.1.0", "captured_at": now(),
    "data": {"cpu_usage_percent": min(cpu, 100), "load1": os.getloadavg()[0]},
    **{name: state[name] for name in ("aud", "agent_id", "epoch", "seq")}})
while state["queue"]:
    save()  # a position is used up before the hub sees it
    deliver(state["queue"][-1])  # the freshest first: so the hub knows the others for backlog
save()
