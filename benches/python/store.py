"""What the service of comparison asks of PostgreSQL: who sent a payload, and to keep it.

Payloads that wait are stored together, as many as there are: one transaction decides about their
nonces and positions and writes their rows by a statement for each table, whatever their number.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

BATCH_MAX = 200
WAITING_MAX = 1_024
WRITERS = 2


@dataclass(slots=True)
class Verified:
    """A payload that comes from whom it claims, ready to be stored."""

    tenant: UUID
    agent: UUID
    epoch: int
    seq: int
    content: bytes
    received_at: datetime
    captured_at: datetime
    sent_at: datetime
    version: str
    nonce: str | None
    columns: tuple
    outcome: asyncio.Future


class Busy(Exception):
    """As many payloads wait as may."""


class Store:
    """The database, and the queue before it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.waiting: deque[Verified] = deque()
        self.writers = 0
        self.tasks: set[asyncio.Task] = set()

    async def agent_by_token(self, digest: bytes) -> asyncpg.Record | None:
        return await self.pool.fetchrow(
            "SELECT id, tenant_id, public_key, revoked_at FROM agents WHERE token_digest = $1",
            digest,
        )

    async def agent_by_device(self, org: str, device: str) -> asyncpg.Record | None:
        return await self.pool.fetchrow(
            "SELECT id, tenant_id, device_key, revoked_at FROM agents"
            " WHERE org = $1 AND name = $2 AND device_key IS NOT NULL",
            org,
            device,
        )

    async def commit(self, payload: Verified) -> str:
        """Stores a payload together with others that wait; returns when that is durable."""
        if len(self.waiting) >= WAITING_MAX:
            raise Busy
        self.waiting.append(payload)
        if self.writers < WRITERS:
            self.writers += 1
            task = asyncio.create_task(self._write())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return await payload.outcome

    async def _write(self) -> None:
        try:
            while self.waiting:
                n = min(len(self.waiting), BATCH_MAX)
                batch = [self.waiting.popleft() for _ in range(n)]
                # In one order everywhere, so that writers do not lock each other out.
                batch.sort(key=lambda payload: (payload.tenant, payload.agent, payload.seq))
                try:
                    outcomes = await self._store(batch)
                except Exception as error:  # noqa: BLE001 - whoever waits has to hear of any
                    for payload in batch:
                        if not payload.outcome.done():
                            payload.outcome.set_exception(error)
                    continue
                for payload, outcome in zip(batch, outcomes, strict=True):
                    if not payload.outcome.done():
                        payload.outcome.set_result(outcome)
        finally:
            self.writers -= 1

    async def _store(self, batch: list[Verified]) -> list[str]:
        async with self.pool.acquire() as connection, connection.transaction():
            positions = {
                row["id"]: (row["epoch"], row["last_seq"])
                for row in await connection.fetch(
                    "SELECT id, epoch, last_seq FROM agents"
                    " WHERE id = ANY($1) AND revoked_at IS NULL ORDER BY id FOR UPDATE",
                    list({payload.agent for payload in batch}),
                )
            }
            known = await self._known(connection, batch)
            fresh_nonces = await self._use_nonces(connection, batch)
            outcomes, accepted = [], []
            for payload in batch:
                outcome = _decide(payload, positions, known, fresh_nonces)
                outcomes.append(outcome)
                if outcome == "accepted":
                    accepted.append(payload)
                    positions[payload.agent] = (payload.epoch, payload.seq)
                    known[payload.agent, payload.epoch, payload.seq] = payload.content
            if accepted:
                await _insert(connection, accepted)
            return outcomes

    @staticmethod
    async def _known(connection, batch: list[Verified]) -> dict:
        rows = await connection.fetch(
            "SELECT c.agent_id, c.epoch, c.seq, c.content FROM ingest_contents c"
            " JOIN unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int8[])"
            " AS n (tenant_id, agent_id, epoch, seq) USING (tenant_id, agent_id, epoch, seq)",
            [payload.tenant for payload in batch],
            [payload.agent for payload in batch],
            [payload.epoch for payload in batch],
            [payload.seq for payload in batch],
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    @staticmethod
    async def _use_nonces(connection, batch: list[Verified]) -> set:
        used = [payload for payload in batch if payload.nonce is not None]
        if not used:
            return set()
        rows = await connection.fetch(
            "INSERT INTO ingest_nonces (tenant_id, agent_id, nonce, used_at)"
            " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])"
            " ON CONFLICT DO NOTHING RETURNING agent_id, nonce",
            [payload.tenant for payload in used],
            [payload.agent for payload in used],
            [payload.nonce for payload in used],
            [payload.received_at for payload in used],
        )
        return {(row[0], row[1]) for row in rows}


def _decide(payload: Verified, positions: dict, known: dict, fresh_nonces: set) -> str:
    if payload.nonce is not None and (payload.agent, payload.nonce) not in fresh_nonces:
        return "replay"
    if payload.agent not in positions:
        return "unauthorized"
    content = known.get((payload.agent, payload.epoch, payload.seq))
    if content is not None:
        return "duplicate" if content == payload.content else "replay"
    epoch, last_seq = positions[payload.agent]
    if payload.epoch < epoch:
        return "stale_epoch"
    return "accepted" if payload.epoch > epoch or payload.seq > last_seq else "replay"


async def _insert(connection, accepted: list[Verified]) -> None:
    await connection.execute(
        "INSERT INTO ingest_contents (tenant_id, agent_id, epoch, seq, content, received_at)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int8[], $5::bytea[],"
        " $6::timestamptz[])",
        [payload.tenant for payload in accepted],
        [payload.agent for payload in accepted],
        [payload.epoch for payload in accepted],
        [payload.seq for payload in accepted],
        [payload.content for payload in accepted],
        [payload.received_at for payload in accepted],
    )
    last = {payload.agent: payload for payload in accepted}
    await connection.execute(
        "UPDATE agents a SET epoch = n.epoch, last_seq = n.seq, last_seen_at = n.at,"
        " version = n.version FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::timestamptz[],"
        " $5::text[]) AS n (id, epoch, seq, at, version) WHERE a.id = n.id",
        list(last),
        [payload.epoch for payload in last.values()],
        [payload.seq for payload in last.values()],
        [payload.received_at for payload in last.values()],
        [payload.version for payload in last.values()],
    )
    await connection.copy_records_to_table(
        "metrics",
        records=[
            (
                payload.tenant,
                payload.agent,
                payload.received_at,
                payload.captured_at,
                payload.sent_at,
                payload.epoch,
                payload.seq,
                *payload.columns,
            )
            for payload in accepted
        ],
    )
