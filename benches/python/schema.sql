-- What the service of comparison keeps. One organisation's rows stand beside another's, told apart
-- by tenant_id, without policies of the database.
CREATE TABLE agents (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    org text NOT NULL,
    name text NOT NULL,
    token_digest bytea UNIQUE,
    public_key bytea,
    device_key bytea,
    revoked_at timestamptz,
    epoch bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    last_seen_at timestamptz,
    version text,
    UNIQUE (org, name)
);
CREATE TABLE ingest_contents (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    content bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, epoch, seq)
);
CREATE TABLE ingest_nonces (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    nonce text NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, nonce)
);
CREATE TABLE metrics (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    time timestamptz NOT NULL,
    captured_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    cpu_usage_percent float8 NOT NULL,
    cpu_cores bigint,
    load1 float8,
    load5 float8,
    load15 float8,
    mem_total_bytes bigint,
    mem_used_bytes bigint,
    swap_total_bytes bigint,
    swap_used_bytes bigint,
    uptime_seconds float8,
    disks jsonb,
    networks jsonb
);
CREATE INDEX metrics_by_agent ON metrics (tenant_id, agent_id, time);
