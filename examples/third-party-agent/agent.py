"""A monsys agent for Linux, ed25519 profile: agent.py HUB STATE_FILE
The first run enrols with the token in MONSYS_TOKEN. Each run measures and sends once; a hub
expects one every 15 s. A run that fails keeps what is undelivered for the next one."""
import http.client, json, os, pathlib, sys, time
from datetime import UTC, datetime
from urllib import request
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HUB, PATH = sys.argv[1:] if len(sys.argv) == 3 else sys.exit("usage: agent.py HUB STATE_FILE")
if not HUB.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
    sys.exit("expected a hub at https://, because the token could be read on the way")

def save():  # as a whole and on the disk: no crash may give a position twice
    with open(os.open(PATH + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(PATH + ".new", PATH)

class Plain(request.HTTPErrorProcessor):  # no status is an exception, no redirect is followed
    http_response = https_response = lambda self, asked, answer: answer

def call(path, body=None, **headers):  # status and JSON of a hub, or the text of whatever it was
    headers |= {"Authorization": "Bearer " + state["token"], "Content-Type": "application/json"}
    try:
        asked = request.Request(HUB + path, body, headers)
        with request.build_opener(Plain).open(asked, timeout=10) as answer:
            form, text = answer.headers.get_content_type(), answer.read(65_536)
        wanted = "application/json" if answer.status < 300 else "application/problem+json"
        return answer.status, json.loads(text) if form == wanted else text.decode(errors="replace")
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as problem:
        sys.exit(f"expected a hub at {HUB}: {problem}")

def cpu_times():
    times = [int(word) for word in pathlib.Path("/proc/stat").read_text().split()[1:9]]
    return sum(times), sum(times[3:5])  # all, and of it what was idle or waited for a disk

def deliver(payload):
    text = rfc8785.dumps(payload | {"sent_at": datetime.now(UTC).isoformat()})
    signature = key.sign(b"monsys-ingest-v1\n" + text).hex()
    answer = call("/api/v1/ingest", text, **{"X-Monsys-Signature": signature})
    print("epoch", payload["epoch"], "seq", payload["seq"], json.dumps(answer[1]))
    match answer:  # what is in none of these forms decides nothing about the payload
        case 200 | 202, {"status": "accepted" | "duplicate"}: return state["queue"].remove(payload)
        case 400 | 413 | 415 | 422, {"code": str()}: return state["queue"].remove(payload)
        case 409, {"code": "replay"}: epoch = state["epoch"] + 1  # as after a restored backup
        case 409, {"code": "stale_epoch", "min_epoch": int(n)} if state["epoch"] < n < 2**53:
            epoch = n
        case _: sys.exit(f"expected accepted, duplicate or a higher epoch of a hub, got {answer}")
    state.update(epoch=epoch, seq=len(state["queue"]))
    for seq, waiting in enumerate(state["queue"], 1):
        waiting.update(epoch=epoch, seq=seq)

state = json.loads(pathlib.Path(PATH).read_text()) if os.path.exists(PATH) else {
    "key": os.urandom(32).hex(), "epoch": 1, "seq": 0, "queue": []}
state["token"] = os.getenv("MONSYS_TOKEN", state.get("token")) or sys.exit("expected MONSYS_TOKEN")
save()  # before the key is pinned, because the hub takes no other key afterwards
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(state["key"]))
if "aud" not in state:  # after a crash this pins the same key again, which changes nothing
    match call("/api/v1/agents/self"):
        case 200, {"aud": str(aud), "agent_id": str(agent_id)}: pass
        case answer: sys.exit(f"expected /api/v1/agents/self to name this agent, got {answer}")
    public = key.public_key().public_bytes_raw().hex()
    proof = f"monsys-pin-v1\n{aud}\n{agent_id}\n{public}\n".encode()
    pin = {"public_key": public, "signature": key.sign(proof).hex()}
    match call("/api/v1/agents/pin", json.dumps(pin).encode()):
        case 200, {"pinned": pinned} if pinned == public: state.update(aud=aud, agent_id=agent_id)
        case answer: sys.exit(f"expected the hub to pin the key of this agent, got {answer}")
(all_before, idle_before), _, (all_after, idle_after) = cpu_times(), time.sleep(1), cpu_times()
cpu = 100 * (1 - (idle_after - idle_before) / (all_after - all_before))
state["seq"] += 1
state["queue"].append({"v": 1, "type": "metrics", "agent_version": "0.1.0",
    "captured_at": datetime.now(UTC).isoformat(),
    "data": {"cpu_usage_percent": min(cpu, 100), "load1": os.getloadavg()[0]},
    **{name: state[name] for name in ("aud", "agent_id", "epoch", "seq")}})
while state["queue"]:
    save()  # a position is used up before the hub sees it
    deliver(state["queue"][-1])  # the freshest first: so the hub knows the others for backlog
save()
