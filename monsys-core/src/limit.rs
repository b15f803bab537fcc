//! Every bound of the system, each with its reason.
//!
//! A number that bounds input stands here or nowhere. Thresholds of detectors are not limits; they
//! stand in `monsys_integrity::config`.

/// Longest body of one ingest request, in bytes (endpoint document: 512 KB, read as KiB).
pub const BODY_BYTES_MAX: usize = 524_288;
/// Deepest nesting of a body, counting the body itself as 1 (contract §2).
pub const BODY_DEPTH_MAX: usize = crate::json::JSON_DEPTH_MAX;
/// Largest integer that every JSON reader keeps exactly: 2^53 − 1 (RFC 7493 §2.2).
pub const SAFE_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// Longest `source` or `subject_type`, in bytes (contract §6).
pub const SIGNAL_NAME_BYTES_MAX: usize = 64;
/// Longest signal key, in bytes (contract §6).
pub const SIGNAL_KEY_BYTES_MAX: usize = 128;
/// Longest `subject_id`, in bytes (contract §6).
pub const SUBJECT_ID_BYTES_MAX: usize = 256;
/// Largest signal value in canonical form, in bytes (contract §6).
pub const SIGNAL_VALUE_BYTES_MAX: usize = 16_384;
/// Deepest signal value, counting itself as 1 (contract §6).
pub const SIGNAL_VALUE_DEPTH_MAX: usize = 8;
/// Longest life of a signal, in seconds: ten years (contract §6).
pub const SIGNAL_TTL_S_MAX: i64 = 315_360_000;
/// How far `observed_at` may lie in the future, in seconds (contract §6).
pub const SIGNAL_FUTURE_S_MAX: i64 = 300;
/// How long signals are kept, in seconds: 180 days (signals document).
pub const SIGNAL_RETENTION_S: i64 = 180 * 86_400;
/// How long raw metrics and endpoint snapshots are kept, in seconds: 14 days. They are most of what
/// a hub writes, and no score reads them.
pub const METRICS_RETENTION_S: i64 = 14 * 86_400;
/// Most signals of one batch (contract §2).
pub const SIGNALS_PER_BATCH_MAX: usize = 1_000;
/// Most live keys of one agent and source (contract §6).
pub const LIVE_KEYS_PER_SOURCE_MAX: usize = 1_000;
/// Most signals of one file that is stored as a whole: the transaction stays within seconds.
pub const SIGNALS_PER_FILE_MAX: usize = 100_000;
/// Longest line of such a file, in bytes: the largest value fits with every character escaped.
pub const SIGNAL_LINE_BYTES_MAX: usize = 131_072;
/// Most violations an answer names; the rest is counted.
pub const VIOLATIONS_SHOWN_MAX: usize = 32;

/// Longest agent or organisation name, in bytes: one line on a page.
pub const DISPLAY_NAME_BYTES_MAX: usize = 128;
/// Longest agent version text, in bytes: semantic versions with build data fit, novels do not.
pub const AGENT_VERSION_BYTES_MAX: usize = 128;
/// Most disks or network interfaces of one sample.
pub const DEVICES_PER_SAMPLE_MAX: usize = 256;
/// Longest mount point, in bytes.
pub const MOUNT_BYTES_MAX: usize = 1_024;
/// Longest network interface name, in bytes (Linux allows 15, Windows names are longer).
pub const INTERFACE_BYTES_MAX: usize = 256;
/// Most processor cores a sample may declare.
pub const CPU_CORES_MAX: i64 = 65_536;

/// Longest name of a process, service, collector or user of an endpoint snapshot, in characters:
/// beyond it nobody reads on, and the text is cut.
pub const ENDPOINT_NAME_CHARS_MAX: usize = 256;
/// Longest path of an endpoint snapshot, in characters: the deep paths of real machines fit.
pub const ENDPOINT_PATH_CHARS_MAX: usize = 1_024;
/// Most processes of one snapshot: a busy server has a thousand, and a body holds no more than this
/// many with short paths.
pub const ENDPOINT_PROCESSES_MAX: usize = 4_096;
/// Most listening sockets of one snapshot.
pub const ENDPOINT_LISTENERS_MAX: usize = 1_024;
/// Most counters of logins of one snapshot: two for each service that checks passwords.
pub const ENDPOINT_AUTH_MAX: usize = 256;
/// Most places of one snapshot from which programs start by themselves.
pub const ENDPOINT_PERSISTENCE_MAX: usize = 4_096;
/// Most collectors that one snapshot may report on.
pub const ENDPOINT_HEALTH_MAX: usize = 64;

/// Longest organisation or device in the headers of the hmac profile, in bytes (contract §3).
pub const DEVICE_WORD_BYTES_MAX: usize = 64;
/// Shortest nonce, in bytes (contract §3): 96 random bits, so that honest devices never collide.
pub const NONCE_BYTES_MIN: usize = 16;
/// Longest nonce, in bytes (contract §3): what people make of 32 random bytes in hexadecimal.
pub const NONCE_BYTES_MAX: usize = 64;
/// How far the timestamp of a signed request may be off either way, in seconds (contract §3).
pub const REQUEST_WINDOW_S: i64 = 300;
/// How long a nonce is remembered, in seconds (contract §3): the window both ways and a minute.
pub const NONCE_KEPT_S: i64 = 660;
/// Most nonces remembered for one device: the backlog of a day (5,760 payloads) drains in two such
/// windows, and a device that leaks its key makes a store keep about a megabyte.
pub const NONCES_PER_DEVICE_MAX: u16 = 4_096;

/// Most open gaps in the positions of one agent (contract §2).
pub const POSITION_GAPS_MAX: usize = 64;
/// Most closed gaps remembered for one agent; beyond it the two nearest are joined.
pub const POSITION_CLOSED_MAX: usize = 64;
/// How far an epoch may jump ahead (contract §2).
pub const EPOCH_JUMP_MAX: u64 = 1_000_000;
/// Highest epoch that a first payload may set: 2^40 (contract §2).
pub const EPOCH_FIRST_MAX: u64 = 1 << 40;
/// How long the content hash of a position is kept, in seconds: 24 h (contract §2).
pub const CONTENT_HASH_KEPT_S: i64 = 86_400;
/// A payload captured longer than this before it was sent may be spooled, in seconds (contract §2).
pub const SPOOLED_AFTER_S: i64 = 60;

/// How far back cadence and flatness look, in seconds: 1 hour (integrity document, query of example
/// 2; decision 16 for cadence). A limit and no threshold, because the stores read just this much.
pub const WINDOW_S: i64 = 3_600;
/// Most metrics of one agent that a cycle reads from one window. An honest agent sends 240 in an
/// hour; one that floods is judged by its newest ones and slows nobody else down.
pub const WINDOW_SAMPLES_MAX: usize = 8_192;
/// Most stretches of values that a hub remembers to find those that two agents share: 65 MB.
pub const FEED_STRETCHES_MAX: usize = 262_144;
/// How long the record of a cycle is kept, in seconds: 14 days, as the metrics it judged.
pub const CYCLES_KEPT_S: i64 = 1_209_600;
/// Most failed detectors that the record of a cycle names; the rest is in the log.
pub const CYCLE_FAULTS_MAX: usize = 20;
/// Most agents of one page of a cycle.
pub const CYCLE_PAGE_AGENTS: u32 = 500;
/// Most anomalies that a person closes, acknowledges or snoozes at once: what a page lists.
pub const ACTION_ANOMALIES_MAX: usize = 200;
/// Longest time an anomaly can be snoozed, in seconds: 90 days. What is out of sight for longer has
/// been forgotten.
pub const SNOOZE_S_MAX: i64 = 7_776_000;
/// Most ledger entries of one page.
pub const LEDGER_PAGE_ROWS: u32 = 1_000;
/// How far back changes of one agent and kind count as flapping, in seconds: 24 h.
pub const FLAPPING_S: i64 = 86_400;
/// From how many openings and closings within that time an anomaly is flapping.
pub const FLAPPING_CHANGES_MIN: u32 = 4;
/// Longest note on a resolved anomaly, in bytes: 4 KiB (contract §4); reasons too.
pub const NOTE_BYTES_MAX: usize = 4_096;
/// Most anomalies of one file: some 10 MB of text, made within a second or two.
pub const EXPORT_ROWS_MAX: u32 = 10_000;
/// Most rows of one page of an API listing.
pub const PAGE_ROWS_MAX: u32 = 200;

/// Most findings that one incident lists; the rest is counted.
pub const INCIDENT_FINDINGS_MAX: usize = 1_000;
/// Most repairs of one plan: nobody works through more, and the plan stays within milliseconds.
pub const FIXES_MAX: usize = 1_024;
