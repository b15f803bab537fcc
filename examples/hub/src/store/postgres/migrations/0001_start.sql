-- Every table that holds data of an organisation starts with its tenant_id, and so does every
-- unique constraint of one; where a table is partitioned, the constraint contains the time as well.
-- Text is compared byte by byte, whatever the collation of the database.
--
-- Logs (partitioned tables) have no foreign keys: the transaction that writes a row of an agent has
-- the agent's row locked, agents are never deleted, and dropping a partition with a foreign key
-- would lock all agents.

CREATE TABLE monsys_schema (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE meta (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder bytea NOT NULL,
    expires_at timestamptz NOT NULL
);

-- One-time links that make the first organisation and person; they belong to nobody yet.
CREATE TABLE setup_links (
    digest bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);

CREATE TABLE users (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    email text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL
        CONSTRAINT role_word CHECK (role IN ('admin', 'read_only', 'service')),
    created_at timestamptz NOT NULL,
    -- A hash in the PHC string format; NULL where they log in by links only.
    password_phc text COLLATE "C" CONSTRAINT password_phc_form CHECK (password_phc ~ '\A\$.'),
    disabled_at timestamptz,
    -- How often what the person holds was made void.
    credentials_epoch bigint NOT NULL DEFAULT 0
        CONSTRAINT credentials_epoch_positive CHECK (credentials_epoch >= 0),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email),
    CONSTRAINT service_has_no_password CHECK (role <> 'service' OR password_phc IS NULL)
);

CREATE INDEX users_by_id ON users (id);

-- The row whose id is its tenant_id is the hub's own: it has no credential and was never active. It
-- is there for the auditor's queries, which join each anomaly with its agent.
CREATE TABLE agents (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    name text COLLATE "C" NOT NULL,
    token_digest bytea,
    public_key bytea,
    pin_until timestamptz,
    device_key bytea CONSTRAINT device_key_size CHECK (octet_length(device_key) = 32),
    enrolled_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_seen_at timestamptz,
    last_verified_at timestamptz,
    version text COLLATE "C",
    version_highest text COLLATE "C",
    version_highest_key text COLLATE "C" NOT NULL DEFAULT '',
    positions bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, token_digest),
    CONSTRAINT one_credential CHECK (
        (device_key IS NULL) = (token_digest IS NOT NULL)
        AND (device_key IS NULL) = (pin_until IS NOT NULL)
        AND (device_key IS NULL OR public_key IS NULL)
        OR id = tenant_id AND device_key IS NULL AND token_digest IS NULL AND pin_until IS NULL
        AND public_key IS NULL AND revoked_at IS NOT NULL
    ),
    CONSTRAINT device_word CHECK (device_key IS NULL OR name ~ '\A[A-Za-z0-9._-]{1,64}\Z')
)
-- Each payload rewrites its agent's row; room on the page keeps the indexes out of it.
WITH (fillfactor = 50);

CREATE INDEX agents_by_token ON agents (token_digest);

-- What must not change under a position; kept for at least 24 h. That a position is used once is
-- decided under the lock of the agent's row: a unique constraint must contain the time here, and
-- would let the same position through at another time.
CREATE TABLE ingest_contents (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    content bytea NOT NULL CONSTRAINT content_size CHECK (octet_length(content) = 32),
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, epoch, seq, received_at)
) PARTITION BY RANGE (received_at);

-- When a device used which nonce, by SHA-256; kept for at least 660 s. Once per device is decided
-- under the lock of its row, as above.
CREATE TABLE ingest_nonces (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    nonce bytea NOT NULL CONSTRAINT nonce_size CHECK (octet_length(nonce) = 32),
    used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, nonce, used_at)
) PARTITION BY RANGE (used_at);

CREATE INDEX ingest_nonces_by_age ON ingest_nonces (tenant_id, agent_id, used_at);

CREATE TABLE metrics (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    time timestamptz NOT NULL,
    captured_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    is_spooled boolean NOT NULL,
    is_verified boolean NOT NULL,
    cpu_usage_percent double precision NOT NULL
        CONSTRAINT cpu_usage_percent_range CHECK (cpu_usage_percent BETWEEN 0 AND 100),
    cpu_cores bigint,
    load1 double precision,
    load5 double precision,
    load15 double precision,
    mem_total_bytes bigint,
    mem_used_bytes bigint,
    swap_total_bytes bigint,
    swap_used_bytes bigint,
    uptime_seconds double precision,
    disks json,
    networks json
) PARTITION BY RANGE (time);

CREATE INDEX metrics_by_agent ON metrics (tenant_id, agent_id, time);

-- Listings of an organisation, and of nothing else: a plain index by time would be taken for the
-- readings of one agent too, when the database has no statistics yet, and read those of all.
CREATE INDEX metrics_by_time ON metrics (tenant_id, (time AT TIME ZONE 'UTC'));

-- Members are JSON arrays with the members of contract §2.
CREATE TABLE endpoint_snapshots (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    time timestamptz NOT NULL,
    captured_at timestamptz NOT NULL,
    processes json NOT NULL
        CONSTRAINT processes_array CHECK (json_typeof(processes) = 'array'),
    listeners json NOT NULL
        CONSTRAINT listeners_array CHECK (json_typeof(listeners) = 'array'),
    auth json NOT NULL CONSTRAINT auth_array CHECK (json_typeof(auth) = 'array'),
    persistence json NOT NULL
        CONSTRAINT persistence_array CHECK (json_typeof(persistence) = 'array'),
    health json NOT NULL CONSTRAINT health_array CHECK (json_typeof(health) = 'array')
) PARTITION BY RANGE (time);

CREATE INDEX endpoint_snapshots_by_agent ON endpoint_snapshots (tenant_id, agent_id, time);

CREATE INDEX endpoint_snapshots_by_time
    ON endpoint_snapshots (tenant_id, (time AT TIME ZONE 'UTC'));

-- Numbers the signals in the order of arrival, over all organisations: of two signals observed at one
-- moment the later number stays current, whichever hub they came to. A number that each hub made by
-- its own clock would need no sequence, and could put the later of two hubs first.
CREATE SEQUENCE signal_arrivals;

-- The key is the order of listings read backwards, and a place in it is what a cursor names.
CREATE TABLE signal_streams (
    tenant_id uuid NOT NULL,
    source text COLLATE "C" NOT NULL CONSTRAINT source_format CHECK (
        octet_length(source) <= 64 AND source ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*\Z'
    ),
    subject_type text COLLATE "C" NOT NULL CONSTRAINT subject_type_format CHECK (
        octet_length(subject_type) <= 64 AND subject_type ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*\Z'
    ),
    subject_id text COLLATE "C" NOT NULL CONSTRAINT subject_id_format CHECK (
        octet_length(subject_id) BETWEEN 1 AND 256
        AND subject_id !~ '[\u0001-\u001f\u007f-\u009f]'
    ),
    signal_key text COLLATE "C" NOT NULL CONSTRAINT signal_key_format CHECK (
        octet_length(signal_key) <= 128
        AND signal_key ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z0-9]+(_[a-z0-9]+)*)+\Z'
    ),
    signal_value jsonb NOT NULL CONSTRAINT signal_value_object CHECK (
        jsonb_typeof(signal_value) = 'object' AND signal_value ? 'value'
    ),
    severity text COLLATE "C" CONSTRAINT severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    observed_at timestamptz NOT NULL,
    ttl_seconds bigint CONSTRAINT ttl_seconds_range CHECK (ttl_seconds BETWEEN 1 AND 315360000),
    arrival bigint NOT NULL DEFAULT nextval('signal_arrivals'),
    PRIMARY KEY (tenant_id, observed_at, arrival)
) PARTITION BY RANGE (observed_at);

CREATE INDEX signal_streams_by_subject
    ON signal_streams (tenant_id, subject_type, subject_id, observed_at, arrival);

-- The latest signal of each subject, source and key, which outlives the history it came from.
-- expires_at is observed_at + ttl_seconds; NULL is until superseded.
CREATE TABLE signal_current (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    source text COLLATE "C" NOT NULL CONSTRAINT source_format CHECK (
        octet_length(source) <= 64 AND source ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*\Z'
    ),
    subject_type text COLLATE "C" NOT NULL CONSTRAINT subject_type_format CHECK (
        octet_length(subject_type) <= 64 AND subject_type ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*\Z'
    ),
    subject_id text COLLATE "C" NOT NULL CONSTRAINT subject_id_format CHECK (
        octet_length(subject_id) BETWEEN 1 AND 256
        AND subject_id !~ '[\u0001-\u001f\u007f-\u009f]'
    ),
    signal_key text COLLATE "C" NOT NULL CONSTRAINT signal_key_format CHECK (
        octet_length(signal_key) <= 128
        AND signal_key ~ '\A[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z0-9]+(_[a-z0-9]+)*)+\Z'
    ),
    signal_value jsonb NOT NULL CONSTRAINT signal_value_object CHECK (
        jsonb_typeof(signal_value) = 'object' AND signal_value ? 'value'
    ),
    severity text COLLATE "C" CONSTRAINT severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    observed_at timestamptz NOT NULL,
    ttl_seconds bigint CONSTRAINT ttl_seconds_range CHECK (ttl_seconds BETWEEN 1 AND 315360000),
    expires_at timestamptz,
    arrival bigint NOT NULL,
    PRIMARY KEY (tenant_id, subject_type, subject_id, source, signal_key)
)
-- Each signal rewrites the row of its place. Room on the page, and no index on what changes, keep
-- the rewriting out of the key.
WITH (fillfactor = 70);

-- detail and evidence are json, not jsonb: their members stay in the order they were written.
CREATE TABLE integrity_anomalies (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CONSTRAINT kind_word CHECK (kind IN (
        'unsigned_payload', 'signature_invalid', 'clock_drift',
        'cadence_anomaly', 'flat_metrics', 'version_downgrade',
        'agent_silent', 'agent_cloned', 'sequence_regress', 'replayed_series', 'duplicate_feed',
        'looped_recording', 'exact_ramp', 'stale_collector', 'version_unparseable',
        'detector_stalled'
    )),
    severity text COLLATE "C" NOT NULL CONSTRAINT anomaly_severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    severity_rank smallint NOT NULL GENERATED ALWAYS AS (
        CASE severity
            WHEN 'critical' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5
        END
    ) STORED,
    summary text NOT NULL,
    detail json NOT NULL CONSTRAINT detail_object CHECK (json_typeof(detail) = 'object'),
    evidence json NOT NULL CONSTRAINT evidence_object CHECK (json_typeof(evidence) = 'object'),
    detected_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    occurrences bigint NOT NULL CONSTRAINT occurrences_positive CHECK (occurrences >= 1),
    last_detail json CONSTRAINT last_detail_object CHECK (json_typeof(last_detail) = 'object'),
    previous_id uuid,
    acknowledged_at timestamptz,
    acknowledged_by uuid,
    acknowledged_reason text,
    acknowledged_until timestamptz,
    snoozed_at timestamptz,
    snoozed_by uuid,
    snoozed_reason text,
    snoozed_until timestamptz,
    resolved_at timestamptz,
    resolved_by uuid,
    resolution text COLLATE "C" CONSTRAINT resolution_word CHECK (resolution IN ('manual', 'auto')),
    note text,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT seen_after_detected CHECK (last_seen_at >= detected_at),
    CONSTRAINT resolved_by_someone CHECK (
        (resolved_at IS NULL) = (resolved_by IS NULL)
        AND (resolved_at IS NULL) = (resolution IS NULL)
    ),
    CONSTRAINT acknowledged_by_someone CHECK (
        num_nulls(acknowledged_at, acknowledged_by, acknowledged_reason) IN (0, 3)
        AND (acknowledged_until IS NULL OR acknowledged_at IS NOT NULL)
    ),
    CONSTRAINT snoozed_by_someone CHECK (
        num_nulls(snoozed_at, snoozed_by, snoozed_reason, snoozed_until) IN (0, 4)
    ),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT,
    -- An import reads rows in the order of their identifiers, so it looks at its end.
    FOREIGN KEY (tenant_id, previous_id) REFERENCES integrity_anomalies (tenant_id, id)
        ON DELETE RESTRICT DEFERRABLE INITIALLY IMMEDIATE,
    FOREIGN KEY (tenant_id, acknowledged_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, snoozed_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, resolved_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE UNIQUE INDEX one_open_anomaly_per_kind
    ON integrity_anomalies (tenant_id, agent_id, kind) WHERE resolved_at IS NULL;

-- What is open, in the order of its listing.
CREATE INDEX integrity_anomalies_listed
    ON integrity_anomalies (tenant_id, severity_rank, detected_at DESC, id DESC)
    WHERE resolved_at IS NULL;

-- How much of each kind is open, which every page says, and what it is.
CREATE INDEX integrity_anomalies_counted
    ON integrity_anomalies (tenant_id, kind, severity_rank, detected_at DESC, id DESC)
    WHERE resolved_at IS NULL;

-- What is resolved, in the order of its listing.
CREATE INDEX integrity_anomalies_resolved
    ON integrity_anomalies (tenant_id, resolved_at DESC, id DESC) WHERE resolved_at IS NOT NULL;

CREATE INDEX integrity_anomalies_by_agent
    ON integrity_anomalies (tenant_id, agent_id, kind, detected_at);

-- What happened to anomalies, chained by hash: one chain per organisation, numbered from 1.
CREATE TABLE integrity_events (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT seq_positive CHECK (seq >= 1),
    anomaly_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CONSTRAINT event_kind_word CHECK (kind IN (
        'opened', 'seen', 'severity_raised', 'acknowledged', 'snoozed', 'resolved',
        'baseline_accepted'
    )),
    actor uuid NOT NULL,
    at timestamptz NOT NULL,
    data json NOT NULL CONSTRAINT data_object CHECK (json_typeof(data) = 'object'),
    prev_hash bytea NOT NULL CONSTRAINT prev_hash_size CHECK (octet_length(prev_hash) = 32),
    hash bytea NOT NULL CONSTRAINT hash_size CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, seq),
    FOREIGN KEY (tenant_id, anomaly_id) REFERENCES integrity_anomalies (tenant_id, id)
        ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, actor) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE INDEX integrity_events_by_anomaly ON integrity_events (tenant_id, anomaly_id, seq);

-- Where the chain of an organisation ends; made with the organisation. Who locks the row writes next.
CREATE TABLE ledger_heads (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE RESTRICT,
    seq bigint NOT NULL,
    hash bytea NOT NULL CONSTRAINT head_hash_size CHECK (octet_length(hash) = 32)
)
-- Each entry rewrites the row of its organisation.
WITH (fillfactor = 50);

-- How each cycle went, kept for 14 days; faults are {"agent", "kind", "message"}.
CREATE TABLE integrity_cycles (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    at timestamptz NOT NULL,
    took_ms bigint NOT NULL,
    n_agents bigint NOT NULL,
    n_opened bigint NOT NULL,
    n_resolved bigint NOT NULL,
    n_missed bigint NOT NULL,
    n_failed_pages bigint NOT NULL,
    faults json NOT NULL CONSTRAINT faults_array CHECK (json_typeof(faults) = 'array'),
    PRIMARY KEY (tenant_id, at)
);

CREATE TABLE login_links (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    purpose text COLLATE "C" NOT NULL
        CONSTRAINT purpose_word CHECK (purpose IN ('login', 'set_password')),
    user_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE INDEX login_links_by_digest ON login_links (digest);

CREATE INDEX login_links_by_user ON login_links (tenant_id, user_id) WHERE used_at IS NULL;

-- A session holds as long as its epoch is that of its person.
CREATE TABLE sessions (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    user_id uuid NOT NULL,
    credentials_epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE INDEX sessions_by_digest ON sessions (digest);

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

-- A login by refresh tokens, named by the digest of its first. It holds as long as its epoch is
-- that of its person. Who locks the row replaces or ends.
CREATE TABLE refresh_families (
    tenant_id uuid NOT NULL,
    id bytea NOT NULL CONSTRAINT family_id_size CHECK (octet_length(id) = 32),
    user_id uuid NOT NULL,
    credentials_epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    n_tokens bigint NOT NULL DEFAULT 1,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE INDEX refresh_families_by_user ON refresh_families (tenant_id, user_id, created_at);

-- What was replaced stays as long as its family, so that it is known when it is shown again.
CREATE TABLE refresh_tokens (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL CONSTRAINT refresh_digest_size CHECK (octet_length(digest) = 32),
    family_id bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, family_id) REFERENCES refresh_families (tenant_id, id)
        ON DELETE RESTRICT
);

CREATE INDEX refresh_tokens_by_digest ON refresh_tokens (digest);

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (tenant_id, family_id);

CREATE UNIQUE INDEX one_refresh_token_per_family
    ON refresh_tokens (tenant_id, family_id) WHERE rotated_at IS NULL;

CREATE TABLE api_tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL
        CONSTRAINT scope_word CHECK (scope IN ('admin', 'read_only')),
    digest bytea NOT NULL CONSTRAINT api_digest_size CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, digest),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
);

CREATE INDEX api_tokens_by_digest ON api_tokens (digest);

CREATE INDEX api_tokens_listed ON api_tokens (tenant_id, created_at, id);

-- Entries of the hub itself have no tenant.
CREATE TABLE audit_log (
    tenant_id uuid,
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL
);

CREATE INDEX audit_log_by_time ON audit_log (tenant_id, at);

-- Which organisations a login role may read as an auditor.
CREATE TABLE auditor_tenants (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    role_name name NOT NULL,
    PRIMARY KEY (tenant_id, role_name)
);

-- The ledger loses nothing and rewrites nothing, not even for its owner.
CREATE FUNCTION monsys_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was recorded does not change'
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER integrity_anomalies_keep BEFORE DELETE OR TRUNCATE ON integrity_anomalies
    EXECUTE FUNCTION monsys_refuse_change();

CREATE TRIGGER integrity_anomalies_freeze BEFORE UPDATE ON integrity_anomalies FOR EACH ROW
    WHEN (
        OLD.resolved_at IS NOT NULL
        OR (NEW.id, NEW.tenant_id, NEW.agent_id, NEW.kind, NEW.summary, NEW.detected_at,
            NEW.previous_id)
            IS DISTINCT FROM
            (OLD.id, OLD.tenant_id, OLD.agent_id, OLD.kind, OLD.summary, OLD.detected_at,
            OLD.previous_id)
        OR NEW.detail::text IS DISTINCT FROM OLD.detail::text
        OR NEW.evidence::text IS DISTINCT FROM OLD.evidence::text
        OR strpos('info low medium high critical', NEW.severity)
            < strpos('info low medium high critical', OLD.severity)
        OR NEW.last_seen_at < OLD.last_seen_at
        OR NEW.occurrences < OLD.occurrences
    )
    EXECUTE FUNCTION monsys_refuse_change();

-- What was made void stays void.
CREATE TRIGGER users_epoch BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.credentials_epoch < OLD.credentials_epoch)
    EXECUTE FUNCTION monsys_refuse_change();

CREATE TRIGGER audit_log_keep BEFORE DELETE OR UPDATE OR TRUNCATE ON audit_log
    EXECUTE FUNCTION monsys_refuse_change();

CREATE TRIGGER integrity_events_keep BEFORE DELETE OR UPDATE OR TRUNCATE ON integrity_events
    EXECUTE FUNCTION monsys_refuse_change();

CREATE TRIGGER ledger_heads_keep BEFORE DELETE OR TRUNCATE ON ledger_heads
    EXECUTE FUNCTION monsys_refuse_change();

-- An entry follows the head, and becomes it. After the row, so that the head never points at an
-- entry that is not there. Where an import reads entries there is no head yet; the entry before
-- counts.
CREATE FUNCTION monsys_follow_head() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.ledger_heads SET seq = NEW.seq, hash = NEW.hash
    WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq - 1 AND hash = NEW.prev_hash;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM public.ledger_heads WHERE tenant_id = NEW.tenant_id) AND (
        NEW.seq = 1 AND NEW.prev_hash = decode(repeat('00', 32), 'hex')
        OR EXISTS (
            SELECT FROM public.integrity_events
            WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq - 1 AND hash = NEW.prev_hash
        )
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'an entry follows the one before it'
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER integrity_events_chain AFTER INSERT ON integrity_events FOR EACH ROW
    EXECUTE FUNCTION monsys_follow_head();

-- A head is the last entry, or stands before the first; it moves by one entry and not back.
CREATE FUNCTION monsys_check_head() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.tenant_id = OLD.tenant_id AND NEW.seq = OLD.seq + 1) THEN
        -- An update moves over entries of its own statement, which are there already.
        IF (TG_OP = 'UPDATE' OR NOT EXISTS (
            SELECT FROM public.integrity_events
            WHERE tenant_id = NEW.tenant_id AND seq > NEW.seq
        )) AND (
            NEW.seq = 0 AND NEW.hash = decode(repeat('00', 32), 'hex')
            OR EXISTS (
                SELECT FROM public.integrity_events
                WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq AND hash = NEW.hash
            )
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the head of the ledger is its last entry'
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER ledger_heads_move BEFORE INSERT OR UPDATE ON ledger_heads FOR EACH ROW
    EXECUTE FUNCTION monsys_check_head();
