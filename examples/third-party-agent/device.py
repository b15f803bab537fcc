"""A monsys agent for Linux, hmac profile: device.py HUB ENROLMENT_FILE STATE_FILE

ENROLMENT_FILE is what `monsys-hub agent enrol --profile hmac --json` printed. Each run measures
and sends once; a hub expects one every 15 s. What is undelivered is kept for the next run."""
import datetime, hashlib, hmac, http.client, json, os, secrets, sys, time
from urllib import error, request
import rfc8785

HUB, ENROLMENT_FILE, PATH = sys.argv[1:]
with open(ENROLMENT_FILE) as file:
    DEVICE = json.load(file)

def save():  # as a whole and on the disk: no crash may give a position twice
    with open(os.open(PATH + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(PATH + ".new", PATH)

def now():  # the clock of this machine as it is: only the timestamp of a request is corrected
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

def cpu_times():
    with open("/proc/stat") as file:
        times = [int(word) for word in file.readline().split()[1:9]]
    return sum(times), sum(times[3:5])  # all, and of it what was idle or waited for a disk

def sign(text):  # a nonce belongs to one request, so every attempt makes another one
    stamp, nonce = str(int(time.time() + state["offset"])), secrets.token_urlsafe(16)
    claim = f"em1\n{DEVICE['org']}\n{DEVICE['device']}\n{stamp}\n{nonce}\n".encode()
    mac = hmac.new(bytes.fromhex(DEVICE["key"]), claim + text, hashlib.sha256).hexdigest()
    return {"X-EM-Org": DEVICE["org"], "X-EM-Device": DEVICE["device"], "X-EM-Timestamp": stamp,
            "X-EM-Nonce": nonce, "X-EM-Signature": mac, "Content-Type": "application/json"}

def call(text):
    try:
        post = request.Request(HUB + "/ingest", text, sign(text))
        with request.urlopen(post, timeout=10) as answer:
            said = json.load(answer)
    except error.HTTPError as refusal:
        if refusal.headers.get_content_type() != "application/problem+json":
            sys.exit(f"expected a hub at {HUB}, got the answer {refusal.code} of something else")
        said = json.load(refusal)
    except (OSError, ValueError, http.client.HTTPException) as problem:
        sys.exit(f"expected a hub at {HUB}: {problem}")
    if "server_time" in said:
        hub_time = datetime.datetime.fromisoformat(said["server_time"].replace("Z", "+00:00"))
        state["offset"] = hub_time.timestamp() - time.time()
    return said

def deliver(payload):
    text = rfc8785.dumps(payload | {"sent_at": now()})
    said = call(text)
    if said.get("code") in ("stale", "replay"):  # the clock was wrong, or the nonce used up
        said = call(text)
    print("epoch", payload["epoch"], "seq", payload["seq"], json.dumps(said))
    if said["status"] in ("accepted", "duplicate", 400, 413, 415, 422):
        return state["queue"].remove(payload)  # delivered, or it would be refused again
    if said["code"] not in ("stale_epoch", "replay"):
        sys.exit(f"not delivered: {said['status']} {said['code']}: {said['detail']}")
    # The state is older than what the hub saw, as after a restored backup.
    state.update(epoch=said.get("min_epoch", state["epoch"] + 1), seq=len(state["queue"]))
    for seq, waiting in enumerate(state["queue"], 1):
        waiting.update(epoch=state["epoch"], seq=seq)

state = {"epoch": 1, "seq": 0, "offset": 0, "queue": []}
if os.path.exists(PATH):
    with open(PATH) as file:
        state = json.load(file)
(all_before, idle_before), _, (all_after, idle_after) = cpu_times(), time.sleep(1), cpu_times()
cpu = 100 * (1 - (idle_after - idle_before) / (all_after - all_before))
state["seq"] += 1
state["queue"].append({"v": 1, "type": "metrics", "agent_version": "0.1.0", "captured_at": now(),
    "aud": DEVICE["aud"], "agent_id": DEVICE["device"], "epoch": state["epoch"],
    "seq": state["seq"], "data": {"cpu_usage_percent": min(cpu, 100), "load1": os.getloadavg()[0]}})
while state["queue"]:
    save()  # a position is used up before the hub sees it
    deliver(state["queue"][-1])  # the freshest first: so the hub knows the others for backlog
save()
