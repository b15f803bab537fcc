-- Times are RFC 3339 text in UTC with six fractional digits: 27 characters, text order is time
-- order. Identifiers are hyphenated text. Every table that holds data of an organisation starts
-- with its tenant_id.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    email TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT role_word CHECK (role IN ('admin', 'read_only', 'service')),
    created_at TEXT NOT NULL,
    -- A hash in the PHC string format; NULL where they log in by links only.
    password_phc TEXT CONSTRAINT password_phc_form CHECK (password_phc GLOB '$?*'),
    disabled_at TEXT,
    -- How often what the person holds was made void.
    credentials_epoch INTEGER NOT NULL DEFAULT 0
        CONSTRAINT credentials_epoch_positive CHECK (credentials_epoch >= 0),
    UNIQUE (tenant_id, email),
    UNIQUE (tenant_id, id),
    CONSTRAINT service_has_no_password CHECK (role <> 'service' OR password_phc IS NULL)
) STRICT;

CREATE TRIGGER users_epoch BEFORE UPDATE OF credentials_epoch ON users
WHEN NEW.credentials_epoch < OLD.credentials_epoch
BEGIN
    SELECT RAISE(ABORT, 'what was made void stays void');
END;

-- Without a rowid the agents lie in the order in which a cycle reads them: a page of them is a few
-- neighbouring blocks, not one for each. The key is what everything that belongs to an agent names.
CREATE TABLE agents (
    id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    token_digest BLOB UNIQUE,
    public_key BLOB,
    pin_until TEXT,
    device_key BLOB CONSTRAINT device_key_size CHECK (length(device_key) = 32),
    enrolled_at TEXT NOT NULL,
    revoked_at TEXT,
    last_seen_at TEXT,
    last_verified_at TEXT,
    version TEXT,
    version_highest TEXT,
    version_highest_key TEXT NOT NULL DEFAULT '',
    positions BLOB NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    -- What the hub finds about itself is about an agent with the identifier of its organisation,
    -- which has no credential and is revoked from its first moment.
    CONSTRAINT one_credential CHECK (
        CASE WHEN id = tenant_id
            THEN token_digest IS NULL AND public_key IS NULL AND pin_until IS NULL
                AND device_key IS NULL AND revoked_at IS NOT NULL
            ELSE (device_key IS NULL) = (token_digest IS NOT NULL)
                AND (device_key IS NULL) = (pin_until IS NOT NULL)
                AND (device_key IS NULL OR public_key IS NULL)
        END
    ),
    CONSTRAINT device_word CHECK (
        device_key IS NULL
        OR (length(CAST(name AS BLOB)) BETWEEN 1 AND 64 AND name NOT GLOB '*[^A-Za-z0-9._-]*')
    )
) STRICT, WITHOUT ROWID;

-- What must not change under a position; kept for at least 24 h.
CREATE TABLE ingest_contents (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    content BLOB NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, epoch, seq),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX ingest_contents_by_age ON ingest_contents (received_at);

-- When a device used which nonce last, by SHA-256; kept for at least 660 s.
CREATE TABLE ingest_nonces (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    nonce BLOB NOT NULL CONSTRAINT nonce_size CHECK (length(nonce) = 32),
    used_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, nonce),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX ingest_nonces_by_age ON ingest_nonces (used_at);

CREATE TABLE metrics (
    id INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    time TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    sent_at TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    is_spooled INTEGER NOT NULL,
    is_verified INTEGER NOT NULL,
    cpu_usage_percent REAL NOT NULL
        CONSTRAINT cpu_usage_percent_range CHECK (cpu_usage_percent BETWEEN 0 AND 100),
    cpu_cores INTEGER,
    load1 REAL,
    load5 REAL,
    load15 REAL,
    mem_total_bytes INTEGER,
    mem_used_bytes INTEGER,
    swap_total_bytes INTEGER,
    swap_used_bytes INTEGER,
    uptime_seconds REAL,
    disks TEXT,
    networks TEXT,
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT
) STRICT;

CREATE INDEX metrics_by_agent ON metrics (tenant_id, agent_id, time, id);

-- Listings of an organisation, and what is old of each.
CREATE INDEX metrics_by_time ON metrics (tenant_id, time);

-- Members are JSON arrays with the members of contract §2.
CREATE TABLE endpoint_snapshots (
    id INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    time TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    processes TEXT NOT NULL CONSTRAINT processes_array CHECK (json_type(processes) = 'array'),
    listeners TEXT NOT NULL CONSTRAINT listeners_array CHECK (json_type(listeners) = 'array'),
    auth TEXT NOT NULL CONSTRAINT auth_array CHECK (json_type(auth) = 'array'),
    persistence TEXT NOT NULL CONSTRAINT persistence_array CHECK (json_type(persistence) = 'array'),
    health TEXT NOT NULL CONSTRAINT health_array CHECK (json_type(health) = 'array'),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT
) STRICT;

CREATE INDEX endpoint_snapshots_by_agent ON endpoint_snapshots (tenant_id, agent_id, time, id);

CREATE INDEX endpoint_snapshots_by_time ON endpoint_snapshots (tenant_id, time);

CREATE INDEX endpoint_snapshots_of_logins ON endpoint_snapshots (tenant_id, time, agent_id)
    WHERE auth <> '[]';

-- The rules of a signal stand in monsys_core::signal; the constraints of these names say the same,
-- which monsys-core/vectors/signals.json proves. GLOB, length and instr of a text end at U+0000,
-- so that character is looked for in the bytes. Values are stored in canonical form, where an
-- escape that begins with \ud can only be half a surrogate pair; escaped backslashes are taken out
-- first, because "\\ud800" is plain text.
CREATE TABLE signal_streams (
    id INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    source TEXT NOT NULL CONSTRAINT source_format CHECK (
        length(CAST(source AS BLOB)) BETWEEN 1 AND 64
        AND instr(CAST(source AS BLOB), x'00') = 0
        AND source GLOB '[a-z]*' AND source NOT GLOB '*[^a-z0-9_]*'
        AND source NOT GLOB '*__*' AND source NOT GLOB '*_'
    ),
    subject_type TEXT NOT NULL CONSTRAINT subject_type_format CHECK (
        length(CAST(subject_type AS BLOB)) BETWEEN 1 AND 64
        AND instr(CAST(subject_type AS BLOB), x'00') = 0
        AND subject_type GLOB '[a-z]*' AND subject_type NOT GLOB '*[^a-z0-9_]*'
        AND subject_type NOT GLOB '*__*' AND subject_type NOT GLOB '*_'
    ),
    subject_id TEXT NOT NULL CONSTRAINT subject_id_format CHECK (
        length(CAST(subject_id AS BLOB)) BETWEEN 1 AND 256
        AND instr(CAST(subject_id AS BLOB), x'00') = 0
        AND subject_id NOT GLOB
            ('*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*')
    ),
    signal_key TEXT NOT NULL CONSTRAINT signal_key_format CHECK (
        length(CAST(signal_key AS BLOB)) <= 128
        AND instr(CAST(signal_key AS BLOB), x'00') = 0
        AND signal_key GLOB '[a-z]*.*' AND signal_key NOT GLOB '*[^a-z0-9_.]*'
        AND signal_key NOT GLOB '*[._][._]*' AND signal_key NOT GLOB '*[._]'
    ),
    signal_value TEXT NOT NULL CONSTRAINT signal_value_object CHECK (
        instr(CAST(signal_value AS BLOB), x'00') = 0
        AND json_valid(signal_value) AND json_type(signal_value) = 'object'
        AND json_type(signal_value, '$.value') IS NOT NULL
        AND instr(replace(signal_value, '\\', ''), '\u0000') = 0
        AND instr(lower(replace(signal_value, '\\', '')), '\ud') = 0
    ),
    severity TEXT CONSTRAINT severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    observed_at TEXT NOT NULL CONSTRAINT observed_at_form CHECK (
        observed_at GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'
    ),
    ttl_seconds INTEGER CONSTRAINT ttl_seconds_range CHECK (ttl_seconds BETWEEN 1 AND 315360000)
) STRICT;

CREATE INDEX signal_streams_listed ON signal_streams (tenant_id, observed_at, id);

CREATE INDEX signal_streams_by_subject
    ON signal_streams (tenant_id, subject_type, subject_id, observed_at, id);

CREATE INDEX signal_streams_by_age ON signal_streams (observed_at);

-- The latest signal of each subject, source and key, which outlives the history it came from.
-- expires_at is observed_at + ttl_seconds; NULL is until superseded.
CREATE TABLE signal_current (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    source TEXT NOT NULL CONSTRAINT source_format CHECK (
        length(CAST(source AS BLOB)) BETWEEN 1 AND 64
        AND instr(CAST(source AS BLOB), x'00') = 0
        AND source GLOB '[a-z]*' AND source NOT GLOB '*[^a-z0-9_]*'
        AND source NOT GLOB '*__*' AND source NOT GLOB '*_'
    ),
    subject_type TEXT NOT NULL CONSTRAINT subject_type_format CHECK (
        length(CAST(subject_type AS BLOB)) BETWEEN 1 AND 64
        AND instr(CAST(subject_type AS BLOB), x'00') = 0
        AND subject_type GLOB '[a-z]*' AND subject_type NOT GLOB '*[^a-z0-9_]*'
        AND subject_type NOT GLOB '*__*' AND subject_type NOT GLOB '*_'
    ),
    subject_id TEXT NOT NULL CONSTRAINT subject_id_format CHECK (
        length(CAST(subject_id AS BLOB)) BETWEEN 1 AND 256
        AND instr(CAST(subject_id AS BLOB), x'00') = 0
        AND subject_id NOT GLOB
            ('*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*')
    ),
    signal_key TEXT NOT NULL CONSTRAINT signal_key_format CHECK (
        length(CAST(signal_key AS BLOB)) <= 128
        AND instr(CAST(signal_key AS BLOB), x'00') = 0
        AND signal_key GLOB '[a-z]*.*' AND signal_key NOT GLOB '*[^a-z0-9_.]*'
        AND signal_key NOT GLOB '*[._][._]*' AND signal_key NOT GLOB '*[._]'
    ),
    signal_value TEXT NOT NULL CONSTRAINT signal_value_object CHECK (
        instr(CAST(signal_value AS BLOB), x'00') = 0
        AND json_valid(signal_value) AND json_type(signal_value) = 'object'
        AND json_type(signal_value, '$.value') IS NOT NULL
        AND instr(replace(signal_value, '\\', ''), '\u0000') = 0
        AND instr(lower(replace(signal_value, '\\', '')), '\ud') = 0
    ),
    severity TEXT CONSTRAINT severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    observed_at TEXT NOT NULL CONSTRAINT observed_at_form CHECK (
        observed_at GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'
    ),
    ttl_seconds INTEGER CONSTRAINT ttl_seconds_range CHECK (ttl_seconds BETWEEN 1 AND 315360000),
    expires_at TEXT,
    PRIMARY KEY (tenant_id, subject_type, subject_id, source, signal_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX signal_current_by_age ON signal_current (observed_at) WHERE expires_at IS NOT NULL;

CREATE TABLE integrity_anomalies (
    id TEXT PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT kind_word CHECK (kind IN (
        'unsigned_payload', 'signature_invalid', 'clock_drift',
        'cadence_anomaly', 'flat_metrics', 'version_downgrade',
        'agent_silent', 'agent_cloned', 'sequence_regress', 'replayed_series', 'duplicate_feed',
        'looped_recording', 'exact_ramp', 'stale_collector', 'version_unparseable',
        'detector_stalled'
    )),
    severity TEXT NOT NULL CONSTRAINT anomaly_severity_word CHECK (
        severity IN ('info', 'low', 'medium', 'high', 'critical')
    ),
    severity_rank INTEGER NOT NULL GENERATED ALWAYS AS (
        CASE severity
            WHEN 'critical' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5
        END
    ) STORED,
    summary TEXT NOT NULL,
    detail TEXT NOT NULL CONSTRAINT detail_object CHECK (
        json_valid(detail) AND json_type(detail) = 'object'
    ),
    evidence TEXT NOT NULL CONSTRAINT evidence_object CHECK (
        json_valid(evidence) AND json_type(evidence) = 'object'
    ),
    detected_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    occurrences INTEGER NOT NULL CONSTRAINT occurrences_positive CHECK (occurrences >= 1),
    last_detail TEXT CONSTRAINT last_detail_object CHECK (
        json_valid(last_detail) AND json_type(last_detail) = 'object'
    ),
    previous_id TEXT,
    acknowledged_at TEXT,
    acknowledged_by TEXT,
    acknowledged_reason TEXT,
    acknowledged_until TEXT,
    snoozed_at TEXT,
    snoozed_by TEXT,
    snoozed_reason TEXT,
    snoozed_until TEXT,
    resolved_at TEXT,
    resolved_by TEXT,
    resolution TEXT CONSTRAINT resolution_word CHECK (resolution IN ('manual', 'auto')),
    note TEXT,
    CONSTRAINT seen_after_detected CHECK (last_seen_at >= detected_at),
    CONSTRAINT resolved_by_someone CHECK (
        (resolved_at IS NULL) = (resolved_by IS NULL)
        AND (resolved_at IS NULL) = (resolution IS NULL)
    ),
    CONSTRAINT acknowledged_by_someone CHECK (
        (acknowledged_at IS NULL) = (acknowledged_by IS NULL)
        AND (acknowledged_at IS NULL) = (acknowledged_reason IS NULL)
        AND (acknowledged_at IS NOT NULL OR acknowledged_until IS NULL)
    ),
    CONSTRAINT snoozed_by_someone CHECK (
        (snoozed_at IS NULL) = (snoozed_by IS NULL)
        AND (snoozed_at IS NULL) = (snoozed_reason IS NULL)
        AND (snoozed_at IS NULL) = (snoozed_until IS NULL)
    ),
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, previous_id)
        REFERENCES integrity_anomalies (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, acknowledged_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, snoozed_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, resolved_by) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
) STRICT;

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

-- The anomaly before, and what was opened or closed lately.
CREATE INDEX integrity_anomalies_by_kind
    ON integrity_anomalies (tenant_id, agent_id, kind, detected_at);

CREATE INDEX integrity_anomalies_by_closing
    ON integrity_anomalies (tenant_id, agent_id, kind, resolved_at) WHERE resolved_at IS NOT NULL;

-- What happened to anomalies, one chain per organisation; the hash is that of
-- monsys_core::ledger.
CREATE TABLE integrity_events (
    tenant_id TEXT NOT NULL,
    seq INTEGER NOT NULL CONSTRAINT seq_positive CHECK (seq >= 1),
    anomaly_id TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT event_kind_word CHECK (kind IN (
        'opened', 'seen', 'severity_raised', 'acknowledged', 'snoozed', 'resolved',
        'baseline_accepted'
    )),
    actor TEXT NOT NULL,
    at TEXT NOT NULL,
    data TEXT NOT NULL CONSTRAINT data_object CHECK (
        json_valid(data) AND json_type(data) = 'object'
    ),
    prev_hash BLOB NOT NULL CONSTRAINT prev_hash_size CHECK (length(prev_hash) = 32),
    hash BLOB NOT NULL CONSTRAINT hash_size CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_id, seq),
    FOREIGN KEY (tenant_id, anomaly_id)
        REFERENCES integrity_anomalies (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, actor) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX integrity_events_by_anomaly ON integrity_events (tenant_id, anomaly_id, seq);

-- What happened lately.
CREATE INDEX integrity_events_by_time ON integrity_events (tenant_id, at, seq)
    WHERE kind <> 'seen';

-- Where the chain of each organisation ends: 0 and 32 zeros before its first entry.
CREATE TABLE ledger_heads (
    tenant_id TEXT PRIMARY KEY NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    seq INTEGER NOT NULL CONSTRAINT head_seq_not_negative CHECK (seq >= 0),
    hash BLOB NOT NULL CONSTRAINT head_hash_size CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

-- The ledger loses nothing and rewrites nothing. INSERT OR REPLACE deletes without a trigger where
-- recursive_triggers is off, as it is in a connection that is not the hub's, so that a row which
-- would replace one is refused before.
CREATE TRIGGER integrity_anomalies_add BEFORE INSERT ON integrity_anomalies
WHEN EXISTS (SELECT 1 FROM integrity_anomalies i WHERE i.id = NEW.id)
    OR NEW.resolved_at IS NULL AND EXISTS (
        SELECT 1 FROM integrity_anomalies i WHERE i.tenant_id = NEW.tenant_id
        AND i.agent_id = NEW.agent_id AND i.kind = NEW.kind AND i.resolved_at IS NULL
    )
BEGIN
    SELECT RAISE(ABORT, 'integrity_anomalies is append-only');
END;

CREATE TRIGGER integrity_anomalies_keep BEFORE DELETE ON integrity_anomalies
BEGIN
    SELECT RAISE(ABORT, 'integrity_anomalies is append-only');
END;

CREATE TRIGGER integrity_anomalies_freeze BEFORE UPDATE ON integrity_anomalies
WHEN OLD.resolved_at IS NOT NULL
    OR NEW.id IS NOT OLD.id OR NEW.tenant_id IS NOT OLD.tenant_id
    OR NEW.agent_id IS NOT OLD.agent_id OR NEW.kind IS NOT OLD.kind
    OR NEW.summary IS NOT OLD.summary OR NEW.detail IS NOT OLD.detail
    OR NEW.evidence IS NOT OLD.evidence OR NEW.detected_at IS NOT OLD.detected_at
    OR NEW.previous_id IS NOT OLD.previous_id
    OR instr('info low medium high critical', NEW.severity)
        < instr('info low medium high critical', OLD.severity)
    OR NEW.last_seen_at < OLD.last_seen_at
    OR NEW.occurrences < OLD.occurrences
BEGIN
    SELECT RAISE(ABORT, 'what was detected does not change');
END;

CREATE TRIGGER ledger_heads_begin AFTER INSERT ON tenants
BEGIN
    INSERT INTO ledger_heads (tenant_id, seq, hash) VALUES (NEW.id, 0, zeroblob(32));
END;

CREATE TRIGGER ledger_heads_add BEFORE INSERT ON ledger_heads
WHEN NEW.seq IS NOT 0 OR NEW.hash IS NOT zeroblob(32)
    OR EXISTS (SELECT 1 FROM ledger_heads h WHERE h.tenant_id = NEW.tenant_id)
BEGIN
    SELECT RAISE(ABORT, 'a ledger has one head, which begins at 0');
END;

CREATE TRIGGER ledger_heads_forward BEFORE UPDATE ON ledger_heads
WHEN NEW.tenant_id IS NOT OLD.tenant_id OR NEW.seq IS NOT OLD.seq + 1
    OR NOT EXISTS (
        SELECT 1 FROM integrity_events e WHERE e.tenant_id = NEW.tenant_id AND e.seq = NEW.seq
        AND e.prev_hash = OLD.hash AND e.hash = NEW.hash
    )
BEGIN
    SELECT RAISE(ABORT, 'a head goes forward by one entry');
END;

CREATE TRIGGER ledger_heads_keep BEFORE DELETE ON ledger_heads
BEGIN
    SELECT RAISE(ABORT, 'ledger_heads is append-only');
END;

-- No entry can replace another: its number is behind all that there are.
CREATE TRIGGER integrity_events_follow BEFORE INSERT ON integrity_events
WHEN NOT EXISTS (
    SELECT 1 FROM ledger_heads h WHERE h.tenant_id = NEW.tenant_id AND h.seq + 1 = NEW.seq
    AND h.hash = NEW.prev_hash
)
BEGIN
    SELECT RAISE(ABORT, 'an entry follows the head of its ledger');
END;

CREATE TRIGGER integrity_events_advance AFTER INSERT ON integrity_events
BEGIN
    UPDATE ledger_heads SET seq = NEW.seq, hash = NEW.hash WHERE tenant_id = NEW.tenant_id;
END;

CREATE TRIGGER integrity_events_freeze BEFORE UPDATE ON integrity_events
BEGIN
    SELECT RAISE(ABORT, 'integrity_events is append-only');
END;

CREATE TRIGGER integrity_events_keep BEFORE DELETE ON integrity_events
BEGIN
    SELECT RAISE(ABORT, 'integrity_events is append-only');
END;

-- How the cycles went; faults is an array of {"agent","kind","message"}. Kept for 14 days.
CREATE TABLE integrity_cycles (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
    at TEXT NOT NULL,
    took_ms INTEGER NOT NULL,
    n_agents INTEGER NOT NULL,
    n_opened INTEGER NOT NULL,
    n_resolved INTEGER NOT NULL,
    n_missed INTEGER NOT NULL,
    n_failed_pages INTEGER NOT NULL,
    faults TEXT NOT NULL CONSTRAINT faults_array CHECK (
        json_valid(faults) AND json_type(faults) = 'array'
    ),
    PRIMARY KEY (tenant_id, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder BLOB NOT NULL,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A link that makes the first person belongs to nobody yet.
CREATE TABLE login_links (
    digest BLOB PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL CONSTRAINT purpose_word CHECK (
        purpose IN ('login', 'set_password', 'set_up')
    ),
    user_id TEXT REFERENCES users (id) ON DELETE RESTRICT,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    CONSTRAINT set_up_of_nobody CHECK ((purpose = 'set_up') = (user_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX login_links_by_user ON login_links (user_id) WHERE used_at IS NULL;

-- A session holds as long as its epoch is that of its person.
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    credentials_epoch INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

CREATE INDEX sessions_by_age ON sessions (expires_at);

-- A login by refresh tokens, named by the digest of its first. It holds as long as its epoch is
-- that of its person.
CREATE TABLE refresh_families (
    tenant_id TEXT NOT NULL,
    id BLOB NOT NULL CONSTRAINT family_id_size CHECK (length(id) = 32),
    user_id TEXT NOT NULL,
    credentials_epoch INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    n_tokens INTEGER NOT NULL DEFAULT 1,
    revoked_at TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_families_by_user ON refresh_families (tenant_id, user_id, created_at);

-- What was replaced stays as long as its family, so that it is known when it is shown again.
CREATE TABLE refresh_tokens (
    tenant_id TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE CONSTRAINT refresh_digest_size CHECK (length(digest) = 32),
    family_id BLOB NOT NULL,
    expires_at TEXT NOT NULL,
    rotated_at TEXT,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, family_id) REFERENCES refresh_families (tenant_id, id)
        ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_refresh_token_per_family
    ON refresh_tokens (tenant_id, family_id) WHERE rotated_at IS NULL;

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (tenant_id, family_id);

CREATE TABLE api_tokens (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    scope TEXT NOT NULL CONSTRAINT scope_word CHECK (scope IN ('admin', 'read_only')),
    digest BLOB NOT NULL UNIQUE CONSTRAINT api_digest_size CHECK (length(digest) = 32),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT,
    last_used_at TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX api_tokens_listed ON api_tokens (tenant_id, created_at, id);

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    tenant_id TEXT,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;

CREATE INDEX audit_log_by_time ON audit_log (tenant_id, at, id);

CREATE TRIGGER audit_log_keep BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;

CREATE TRIGGER audit_log_freeze BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
