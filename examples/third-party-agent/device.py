"""A monsys agent for Linux, hmac profile: device.py HUB ENROLMENT_FILE STATE_FILE
ENROLMENT_FILE is what `monsys-hub agent enrol --profile hmac --json` printed. Each run measures
and sends once; a hub expects one every 15 s. What is undelivered is kept for the next run."""
import hashlib, hmac, http.client, json, os, pathlib, secrets, sys, time
from datetime import UTC, datetime
from urllib import request
import rfc8785

if len(sys.argv) != 4:
    sys.exit("usage: device.py HUB ENROLMENT_FILE STATE_FILE")
HUB, ENROLMENT_FILE, PATH = sys.argv[1:]
DEVICE = json.loads(pathlib.Path(ENROLMENT_FILE).read_text())

def save():  # as a whole and on the disk: no crash may give a position twice
    with open(os.open(PATH + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(PATH + ".new", PATH)

def cpu_times():
    times = [int(word) for word in pathlib.Path("/proc/stat").read_text().split()[1:9]]
    return sum(times), sum(times[3:5])  # all, and of it what was idle or waited for a disk

def sign(text):  # a nonce belongs to one request, so every attempt makes another one
    stamp, nonce = str(int(time.time() + state["offset"])), secrets.token_urlsafe(16)
    claim = f"em1\n{DEVICE['org']}\n{DEVICE['device']}\n{stamp}\n{nonce}\n".encode()
    mac = hmac.new(bytes.fromhex(DEVICE["key"]), claim + text, hashlib.sha256).hexdigest()
    return {"X-EM-Org": DEVICE["org"], "X-EM-Device": DEVICE["device"], "X-EM-Timestamp": stamp,
            "X-EM-Nonce": nonce, "X-EM-Signature": mac, "Content-Type": "application/json"}

class Plain(request.HTTPErrorProcessor):  # no status is an exception, no redirect is followed
    http_response = https_response = lambda self, asked, answer: answer

def call(body):  # status and JSON of a hub, or the text of whatever it was
    try:
        asked = request.Request(HUB + "/ingest", body, sign(body))
        with request.build_opener(Plain).open(asked, timeout=10) as answer:
            form, text = answer.headers.get_content_type(), answer.read(65_536)
        wanted = "application/json" if answer.status < 300 else "application/problem+json"
        said = json.loads(text) if form == wanted else text.decode(errors="replace")
        if isinstance(said, dict) and isinstance(said.get("server_time"), str):
            hub_time = datetime.fromisoformat(said["server_time"])
            state["offset"] = hub_time.timestamp() - time.time()  # for X-EM-Timestamp only
        return answer.status, said
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as problem:
        sys.exit(f"expected a hub at {HUB}: {problem}")

def deliver(payload):
    text = rfc8785.dumps(payload | {"sent_at": datetime.now(UTC).isoformat()})
    answer = call(text)
    match answer:
        case (401, {"code": "stale"}) | (409, {"code": "replay"}):
            answer = call(text)  # the clock was wrong, or the nonce used up
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
    "epoch": 1, "seq": 0, "offset": 0, "queue": []}
(all_before, idle_before), _, (all_after, idle_after) = cpu_times(), time.sleep(1), cpu_times()
cpu = 100 * (1 - (idle_after - idle_before) / (all_after - all_before))
state["seq"] += 1
state["queue"].append({"v": 1, "type": "metrics", "agent_version": "0.1.0",
    "captured_at": datetime.now(UTC).isoformat(),
    "aud": DEVICE["aud"], "agent_id": DEVICE["device"], "epoch": state["epoch"],
    "seq": state["seq"], "data": {"cpu_usage_percent": min(cpu, 100), "load1": os.getloadavg()[0]}})
while state["queue"]:
    save()  # a position is used up before the hub sees it
    deliver(state["queue"][-1])  # the freshest first: so the hub knows the others for backlog
save()
