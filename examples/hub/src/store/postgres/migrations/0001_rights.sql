-- Who may do what. The application owns nothing, and what it is not given here it has not got.

-- What the application's statements see and write: rows of the tenant that its transaction has
-- set. After a transaction the setting is '', which is no tenant either.
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'users', 'agents', 'ingest_contents', 'ingest_nonces', 'metrics', 'endpoint_snapshots',
        'signal_streams', 'signal_current', 'integrity_anomalies', 'integrity_events',
        'ledger_heads', 'integrity_cycles', 'login_links', 'sessions', 'refresh_families',
        'refresh_tokens', 'api_tokens', 'audit_log', 'tenants'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', relation);
        -- An entry of the hub itself is written with no tenant set, and read by nobody here.
        EXECUTE format(
            'CREATE POLICY of_tenant ON %1$I TO monsys_app '
            || 'USING (%2$s = nullif(current_setting(''app.current_tenant'', true), '''')::uuid) '
            || 'WITH CHECK (%2$s %3$s nullif(current_setting(''app.current_tenant'', true), '''')::uuid)',
            relation,
            CASE relation WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END,
            CASE relation WHEN 'audit_log' THEN 'IS NOT DISTINCT FROM' ELSE '=' END
        );
    END LOOP;
    -- What the functions below look up across the tenants, and what an export reads. The owner
    -- writes rows of tenants nowhere but in an import, which lifts FORCE while it has them locked.
    FOREACH relation IN ARRAY ARRAY[
        'tenants', 'users', 'agents', 'ingest_contents', 'ingest_nonces', 'metrics',
        'endpoint_snapshots', 'signal_streams', 'signal_current', 'integrity_anomalies',
        'integrity_events', 'ledger_heads', 'integrity_cycles', 'login_links', 'sessions',
        'refresh_families', 'refresh_tokens', 'api_tokens', 'audit_log'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY of_owner ON %I FOR SELECT TO monsys_owner USING (true)', relation
        );
    END LOOP;
END
$$;

-- What the owner does about an organisation leaves its entry: who may audit it.
CREATE POLICY of_owner_entry ON audit_log FOR INSERT TO monsys_owner
    WITH CHECK (tenant_id IS NOT NULL);

-- Who audits whom is written and read by the owner alone.
ALTER TABLE auditor_tenants ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON monsys_schema TO PUBLIC;
GRANT SELECT, INSERT, UPDATE (value) ON meta TO monsys_app;
GRANT SELECT, INSERT, UPDATE (holder, expires_at) ON leases TO monsys_app;
GRANT SELECT, INSERT, UPDATE (used_at) ON setup_links TO monsys_app;
GRANT SELECT, INSERT ON tenants, users, ingest_contents, ingest_nonces, metrics,
    endpoint_snapshots, signal_streams, signal_current, login_links, sessions, refresh_families,
    refresh_tokens, api_tokens, audit_log, agents, integrity_anomalies, integrity_events, ledger_heads, integrity_cycles TO monsys_app;
GRANT UPDATE (role, password_phc, disabled_at, credentials_epoch) ON users TO monsys_app;
GRANT UPDATE (token_digest, public_key, device_key, revoked_at, last_seen_at, last_verified_at, version, version_highest,
    version_highest_key, positions) ON agents TO monsys_app;
GRANT UPDATE (severity, last_seen_at, occurrences, last_detail, acknowledged_at, acknowledged_by,
    acknowledged_reason, acknowledged_until, snoozed_at, snoozed_by, snoozed_reason, snoozed_until,
    resolved_at, resolved_by, resolution, note) ON integrity_anomalies TO monsys_app;
GRANT UPDATE (seq, hash) ON ledger_heads TO monsys_app;
GRANT UPDATE (signal_value, severity, observed_at, ttl_seconds, expires_at, arrival), DELETE
    ON signal_current TO monsys_app;
GRANT USAGE ON SEQUENCE signal_arrivals TO monsys_app;
GRANT UPDATE (used_at) ON login_links TO monsys_app;
GRANT UPDATE (n_tokens, revoked_at) ON refresh_families TO monsys_app;
GRANT UPDATE (rotated_at) ON refresh_tokens TO monsys_app;
GRANT UPDATE (revoked_at, last_used_at) ON api_tokens TO monsys_app;
GRANT DELETE ON setup_links, login_links, sessions, refresh_families, refresh_tokens,
    ingest_contents, integrity_cycles TO monsys_app;

-- What must cross the tenants. Each runs as the owner, finds its tables by their full names and
-- nothing by a search path that a caller could bend, and answers what one request may know.

CREATE FUNCTION monsys_agent_by_token(token bytea)
RETURNS TABLE (id uuid, tenant_id uuid, name text, tenant_name text, public_key bytea,
    pin_until timestamptz, is_revoked boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id, a.tenant_id, a.name, t.name, a.public_key, a.pin_until, a.revoked_at IS NOT NULL
    FROM public.agents a JOIN public.tenants t ON t.id = a.tenant_id
    WHERE a.token_digest = token
$$;

CREATE FUNCTION monsys_device_by_name(org text, device text)
RETURNS TABLE (id uuid, tenant_id uuid, device_key bytea, is_revoked boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id, a.tenant_id, a.device_key, a.revoked_at IS NOT NULL
    FROM public.tenants t JOIN public.agents a ON a.tenant_id = t.id
    WHERE t.name = org AND a.name = device AND a.device_key IS NOT NULL
$$;

CREATE FUNCTION monsys_tenants() RETURNS TABLE (id uuid, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.name FROM public.tenants t
$$;

CREATE FUNCTION monsys_user_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM public.users WHERE role <> 'service'
$$;

CREATE FUNCTION monsys_tenant_of_user(person uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.tenant_id FROM public.users u WHERE u.id = person
$$;

CREATE FUNCTION monsys_tenant_of_link(secret bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.tenant_id FROM public.login_links l WHERE l.digest = secret
$$;

CREATE FUNCTION monsys_tenant_of_session(secret bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.tenant_id FROM public.sessions s WHERE s.digest = secret
$$;

CREATE FUNCTION monsys_tenant_of_refresh(secret bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.tenant_id FROM public.refresh_tokens r WHERE r.digest = secret
$$;

CREATE FUNCTION monsys_tenant_of_api_token(secret bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.tenant_id FROM public.api_tokens a WHERE a.digest = secret
$$;

-- A person who is not there is looked for in an organisation that nobody has, so that an unknown
-- organisation costs the same look as an unknown person.
CREATE FUNCTION monsys_credentials(org text, login text)
RETURNS TABLE (id uuid, tenant_id uuid, tenant_name text, email text, role text,
    credentials_epoch bigint, password_phc text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.id, u.tenant_id, t.name, u.email, u.role, u.credentials_epoch, u.password_phc
    FROM public.users u JOIN public.tenants t ON t.id = u.tenant_id
    WHERE u.tenant_id = coalesce(
        (SELECT o.id FROM public.tenants o WHERE o.name = org),
        '00000000-0000-0000-0000-000000000000'
    )
    AND u.email = login AND u.disabled_at IS NULL AND u.role <> 'service'
$$;

-- Auditors log in as roles of their own. The role that logged in counts, not a setting and not a
-- role that was entered since.
CREATE FUNCTION monsys_is_audited(tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.auditor_tenants g
        WHERE g.tenant_id = tenant AND g.role_name = session_user
    )
$$;

CREATE FUNCTION monsys_partition_width(relation text) RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE relation
        WHEN 'metrics' THEN interval '1 day'
        WHEN 'endpoint_snapshots' THEN interval '1 day'
        WHEN 'signal_streams' THEN interval '7 days'
        WHEN 'ingest_contents' THEN interval '1 day'
        WHEN 'ingest_nonces' THEN interval '1 hour'
    END
$$;

-- Makes the partitions of a table from one time to another; answers how many were missing. A
-- partition is made apart and then attached, so that the table is read and written meanwhile.
CREATE FUNCTION monsys_make_partitions(relation text, first timestamptz, last timestamptz)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    width interval := public.monsys_partition_width(relation);
    -- A Monday, so that weeks begin as weeks do.
    slice timestamptz := date_bin(width, first, timestamptz '2000-01-03 00:00:00+00');
    child text;
    made integer := 0;
BEGIN
    IF width IS NULL OR last < first OR last > first + 100 * width THEN
        RAISE EXCEPTION 'no partitions are made for %', relation USING ERRCODE = '22023';
    END IF;
    -- Of two that make the same partition, one waits and then finds it. No advisory lock: each login
    -- of the server may hold one as long as it likes, and without new partitions ingest ends.
    EXECUTE format('LOCK TABLE ONLY public.%I IN SHARE UPDATE EXCLUSIVE MODE', relation);
    WHILE slice <= last LOOP
        child := relation || to_char(slice, '_YYYYMMDD');
        IF width < interval '1 day' THEN
            child := child || to_char(slice, 'HH24');
        END IF;
        IF to_regclass(format('public.%I', child)) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                child, relation
            );
            EXECUTE format(
                'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                relation, child, slice, slice + width
            );
            made := made + 1;
        END IF;
        slice := slice + width;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the partitions of a table that end before a time; answers their names. What is younger
-- than it must be kept stays, whoever asks: signals 180 days, metrics and snapshots 14 days.
CREATE FUNCTION monsys_drop_partitions(relation text, before timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET lock_timeout = '2s' AS $$
DECLARE
    kept interval := CASE relation
        WHEN 'metrics' THEN interval '14 days'
        WHEN 'endpoint_snapshots' THEN interval '14 days'
        WHEN 'signal_streams' THEN interval '180 days'
        WHEN 'ingest_contents' THEN interval '24 hours'
        WHEN 'ingest_nonces' THEN interval '660 seconds'
    END;
    width interval := public.monsys_partition_width(relation);
    child name;
    slice timestamptz;
BEGIN
    IF kept IS NULL THEN
        RAISE EXCEPTION 'no partitions are dropped of %', relation USING ERRCODE = '22023';
    END IF;
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = format('public.%I', relation)::regclass ORDER BY c.relname
    LOOP
        slice := to_timestamp(
            right(child, -length(relation) - 1),
            CASE WHEN width < interval '1 day' THEN 'YYYYMMDDHH24' ELSE 'YYYYMMDD' END
        );
        IF slice + width < least(before, now() - kept) THEN
            EXECUTE format('DROP TABLE public.%I', child);
            RETURN NEXT child;
        END IF;
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION
    monsys_agent_by_token(bytea), monsys_device_by_name(text, text), monsys_tenants(),
    monsys_user_count(), monsys_tenant_of_user(uuid), monsys_tenant_of_link(bytea),
    monsys_tenant_of_session(bytea), monsys_tenant_of_refresh(bytea),
    monsys_tenant_of_api_token(bytea), monsys_credentials(text, text),
    monsys_is_audited(uuid), monsys_partition_width(text),
    monsys_make_partitions(text, timestamptz, timestamptz),
    monsys_drop_partitions(text, timestamptz), monsys_refuse_change(), monsys_follow_head(),
    monsys_check_head()
    FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    monsys_agent_by_token(bytea), monsys_device_by_name(text, text), monsys_tenants(),
    monsys_user_count(), monsys_tenant_of_user(uuid), monsys_tenant_of_link(bytea),
    monsys_tenant_of_session(bytea), monsys_tenant_of_refresh(bytea),
    monsys_tenant_of_api_token(bytea), monsys_credentials(text, text),
    monsys_make_partitions(text, timestamptz, timestamptz),
    monsys_drop_partitions(text, timestamptz)
    TO monsys_app;

GRANT EXECUTE ON FUNCTION monsys_is_audited(uuid) TO monsys_auditor;

-- Auditors read the ledger, what it was judged from, and who closed what; never a key, a digest of
-- a secret, or the state of a spool.
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'tenants', 'users', 'agents', 'metrics', 'signal_streams', 'integrity_anomalies',
        'integrity_events', 'audit_log', 'endpoint_snapshots'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY of_auditor ON %I FOR SELECT TO monsys_auditor '
            || 'USING (public.monsys_is_audited(%s))',
            relation,
            CASE relation WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END
        );
    END LOOP;
END
$$;

GRANT SELECT ON tenants, metrics, signal_streams, integrity_anomalies, integrity_events,
    audit_log, endpoint_snapshots TO monsys_auditor;
GRANT SELECT (id, tenant_id, name, enrolled_at, revoked_at, last_seen_at, last_verified_at, version,
    version_highest) ON agents TO monsys_auditor;
GRANT SELECT (id, tenant_id, email, role, created_at, disabled_at) ON users TO monsys_auditor;
