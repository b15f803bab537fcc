"""Ingest as a good Python engineer would write it: what the hub is compared with.

FastAPI on uvicorn with uvloop and httptools, a process for each processor, asyncpg, pydantic,
cryptography, orjson: the fast choices of the field. The checks are those of contract §3 in their
order, for payloads of metrics; positions are kept as a high-water mark, which is less work than the
hub does. Metrics, audit, findings and limits are left out, which is less work too.
"""

import asyncio
import hashlib
import hmac
import os
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache

import asyncpg
import orjson
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from payload import Payload
from store import Busy, Store, Verified

BODY_MAX = 524_288
WINDOW_S = 300
AUDIENCE = os.environ["AUDIENCE"]
TOKEN = re.compile(r"Bearer (ms_[A-Za-z0-9_-]{43})")
SIGNATURE = re.compile(r"[0-9a-f]{128}")
MAC = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
UNIX_S = re.compile(r"0|[1-9][0-9]{0,11}")


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with asyncpg.create_pool(min_size=4, max_size=16) as pool:
        app.state.store = Store(pool)
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(Refused)
async def refused(_: Request, error: Refused) -> Response:
    body = orjson.dumps({"status": error.status, "code": error.code, "title": error.code})
    headers = {"retry-after": "1"} if error.status in (429, 503) else None
    return Response(body, error.status, headers, "application/problem+json")


@app.post("/api/v1/ingest")
async def ingest(request: Request) -> Response:
    headers = request.headers
    token = TOKEN.fullmatch(headers.get("authorization", ""))
    signature = headers.get("x-monsys-signature", "")
    if token is None:
        raise Refused(401, "unauthorized")
    store: Store = request.app.state.store
    agent = await store.agent_by_token(hashlib.sha256(token[1].encode()).digest())
    if agent is None:
        raise Refused(401, "unauthorized")
    if not SIGNATURE.fullmatch(signature):
        raise Refused(403, "bad_signature")
    body, members = canonical(await read(request))
    try:
        public_key(agent["public_key"]).verify(
            bytes.fromhex(signature), b"monsys-ingest-v1\n" + body
        )
    except InvalidSignature:
        raise Refused(403, "bad_signature") from None
    if agent["revoked_at"] is not None:
        raise Refused(403, "revoked")
    return await keep(store, agent, body, members, str(agent["id"]), None)


@app.post("/ingest")
async def ingest_of_device(request: Request) -> Response:
    org, device = header(request, "x-em-org", NAME), header(request, "x-em-device", NAME)
    at, nonce = header(request, "x-em-timestamp", UNIX_S), header(request, "x-em-nonce", NONCE)
    mac = header(request, "x-em-signature", MAC)
    store: Store = request.app.state.store
    agent = await store.agent_by_device(org, device)
    body, members = canonical(await read(request))
    key = bytes(32) if agent is None else agent["device_key"]
    message = f"em1\n{org}\n{device}\n{at}\n{nonce}\n".encode() + body
    expected = hmac.digest(key, message, "sha256").hex()
    if not hmac.compare_digest(expected, mac) or agent is None:
        raise Refused(401, "unauthorized")
    if agent["revoked_at"] is not None:
        raise Refused(403, "revoked")
    if abs(datetime.now(UTC).timestamp() - int(at)) > WINDOW_S + 1:
        raise Refused(401, "stale")
    return await keep(store, agent, body, members, device, nonce)


def header(request: Request, name: str, form: re.Pattern) -> str:
    value = request.headers.get(name)
    if value is None:
        raise Refused(400, "missing_header")
    if not form.fullmatch(value):
        raise Refused(400, "bad_header")
    return value


async def read(request: Request) -> bytes:
    if int(request.headers.get("content-length", "0")) > BODY_MAX:
        raise Refused(413, "too_large")
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > BODY_MAX:
            raise Refused(413, "too_large")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def canonical(body: bytes) -> tuple[bytes, dict]:
    """The body in the form of RFC 8785, and its members.

    The fast writer sorts by code point and spells most numbers as the RFC does: where it gives back
    the body, the body is canonical, and has no name twice. Where not, the slow writer decides.
    """
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "syntax") from None
    if not isinstance(members, dict):
        raise Refused(422, "wrong_type")
    if orjson.dumps(members, option=orjson.OPT_SORT_KEYS) != body:
        body = rfc8785.dumps(members)
    return body, members


@lru_cache(maxsize=65_536)
def public_key(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


async def keep(
    store: Store,
    agent: asyncpg.Record,
    body: bytes,
    members: dict,
    name: str,
    nonce: str | None,
) -> Response:
    try:
        payload = Payload.model_validate_json(body)
    except ValidationError:
        raise Refused(422, "unknown_field") from None
    if payload.aud != AUDIENCE:
        raise Refused(403, "wrong_audience")
    if payload.agent_id != name:
        raise Refused(403, "wrong_agent")
    del members["sent_at"]
    content = hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest()
    data, now = payload.data, datetime.now(UTC)
    disks, networks = members["data"].get("disks"), members["data"].get("networks")
    verified = Verified(
        tenant=agent["tenant_id"],
        agent=agent["id"],
        epoch=payload.epoch,
        seq=payload.seq,
        content=content,
        received_at=now,
        captured_at=payload.captured_at,
        sent_at=payload.sent_at,
        version=payload.agent_version,
        nonce=nonce,
        columns=(
            data.cpu_usage_percent,
            data.cpu_cores,
            data.load1,
            data.load5,
            data.load15,
            data.mem_total_bytes,
            data.mem_used_bytes,
            data.swap_total_bytes,
            data.swap_used_bytes,
            data.uptime_seconds,
            None if disks is None else orjson.dumps(disks).decode(),
            None if networks is None else orjson.dumps(networks).decode(),
        ),
        outcome=asyncio.get_running_loop().create_future(),
    )
    try:
        outcome = await store.commit(verified)
    except (Busy, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        raise Refused(503, "store_unavailable") from None
    if outcome not in ("accepted", "duplicate"):
        raise Refused(409, outcome)
    answer = {
        "status": outcome,
        "duplicate": outcome == "duplicate",
        "server_time": now.isoformat(),
    }
    status = 202 if outcome == "accepted" else 200
    return Response(orjson.dumps(answer), status, media_type="application/json")
