-- Takes back 0001_start.sql: all that is stored is gone with it. No command runs this; a person who
-- means it does, with the sqlite3 shell and no hub on the file, and tests do, to prove that what goes
-- up comes down. Indexes and triggers go with their tables; a table goes after those that refer to it.
DROP TABLE audit_log;
DROP TABLE sessions;
DROP TABLE login_links;
DROP TABLE leases;
DROP TABLE integrity_cycles;
DROP TABLE ledger_heads;
DROP TABLE integrity_events;
DROP TABLE integrity_anomalies;
DROP TABLE signal_current;
DROP TABLE signal_streams;
DROP TABLE endpoint_snapshots;
DROP TABLE metrics;
DROP TABLE ingest_nonces;
DROP TABLE ingest_contents;
DROP TABLE agents;
DROP TABLE users;
DROP TABLE tenants;
DROP TABLE meta;
PRAGMA user_version = 0;
