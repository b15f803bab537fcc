-- Roles belong to the whole cluster, so this runs apart from the schema of one database, and again
-- where another database of the cluster makes the same roles at the same moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'monsys_owner') THEN
        CREATE ROLE monsys_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'monsys_app') THEN
        CREATE ROLE monsys_app NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'monsys_auditor') THEN
        CREATE ROLE monsys_auditor NOLOGIN;
    END IF;
    -- The owner says who audits; that needs no right to make roles.
    IF NOT EXISTS (
        SELECT FROM pg_auth_members WHERE admin_option
        AND roleid = 'monsys_auditor'::regrole AND member = 'monsys_owner'::regrole
    ) THEN
        GRANT monsys_auditor TO monsys_owner WITH ADMIN OPTION;
    END IF;
    IF NOT pg_has_role(current_user, 'monsys_owner', 'MEMBER') THEN
        EXECUTE format('GRANT monsys_owner TO %I', current_user);
    END IF;
    IF NOT has_schema_privilege('monsys_owner', 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO monsys_owner;
    END IF;
END
$$;
