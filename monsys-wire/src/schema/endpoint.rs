//! `endpoint`: what runs, listens, logs in and starts by itself on one machine.
//!
//! All five lists and all their members must be there, so that a list that was forgotten is not
//! read as an empty one. Null stands for what a collector could not find out: `exe`, `username`,
//! `process` and `reason`.

use alloc::vec::Vec;
use core::net::IpAddr;

use monsys_core::endpoint::{
    AuthCount, AuthOutcome, CollectorHealth, CollectorState, EndpointSnapshot, EndpointText,
    Listener, Persistence, Process,
};
use monsys_core::json::Cursor;
use monsys_core::limit;

use super::cleaned::{CleanedTexts, TextMember};
use super::field::{self, array, member, optional, required, within};
use crate::reject::Reject;

/// Reads the data of an `endpoint` payload.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<EndpointSnapshot, Reject> {
    field::enter_object(cursor)?;
    let auth = member(cursor, "auth", |cursor| read_auth(cursor, cleaned))?;
    let health = member(cursor, "health", |cursor| read_health(cursor, cleaned))?;
    let listeners = member(cursor, "listeners", |cursor| {
        read_listeners(cursor, cleaned)
    })?;
    let persistence = member(cursor, "persistence", |cursor| {
        read_persistence(cursor, cleaned)
    })?;
    let processes = member(cursor, "processes", |cursor| {
        read_processes(cursor, cleaned)
    })?;
    field::leave_object(cursor)?;
    Ok(EndpointSnapshot {
        processes: required(cursor, processes, "processes")?,
        listeners: required(cursor, listeners, "listeners")?,
        auth: required(cursor, auth, "auth")?,
        persistence: required(cursor, persistence, "persistence")?,
        health: required(cursor, health, "health")?,
    })
}

fn read_processes(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<Vec<Process>, Reject> {
    let n_max = limit::ENDPOINT_PROCESSES_MAX;
    array(cursor, n_max, "at most 4096 processes", |cursor| {
        process(cursor, cleaned)
    })
}

fn read_listeners(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<Vec<Listener>, Reject> {
    let n_max = limit::ENDPOINT_LISTENERS_MAX;
    array(cursor, n_max, "at most 1024 listeners", |cursor| {
        listener(cursor, cleaned)
    })
}

fn read_auth(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<Vec<AuthCount>, Reject> {
    let n_max = limit::ENDPOINT_AUTH_MAX;
    array(cursor, n_max, "at most 256 counters of logins", |cursor| {
        auth_count(cursor, cleaned)
    })
}

fn read_persistence(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<Vec<Persistence>, Reject> {
    let n_max = limit::ENDPOINT_PERSISTENCE_MAX;
    array(cursor, n_max, "at most 4096 places", |cursor| {
        place(cursor, cleaned)
    })
}

fn read_health(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<Vec<CollectorHealth>, Reject> {
    let n_max = limit::ENDPOINT_HEALTH_MAX;
    array(cursor, n_max, "at most 64 collectors", |cursor| {
        collector_health(cursor, cleaned)
    })
}

fn process(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Process, Reject> {
    field::enter_object(cursor)?;
    let exe = member(cursor, "exe", |cursor| {
        optional(cursor, |cursor| {
            clean_path(cursor, TextMember::ProcessExe, cleaned)
        })
    })?;
    let name = member(cursor, "name", |cursor| {
        clean_name(cursor, TextMember::ProcessName, cleaned)
    })?;
    let pid = member(cursor, "pid", read_pid)?;
    let username = member(cursor, "username", |cursor| {
        optional(cursor, |cursor| {
            clean_name(cursor, TextMember::ProcessUsername, cleaned)
        })
    })?;
    field::leave_object(cursor)?;
    Ok(Process {
        name: required(cursor, name, "name")?,
        pid: required(cursor, pid, "pid")?,
        exe: required(cursor, exe, "exe")?,
        username: required(cursor, username, "username")?,
    })
}

fn listener(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Listener, Reject> {
    field::enter_object(cursor)?;
    let ip = member(cursor, "ip", read_ip)?;
    let port = member(cursor, "port", read_port)?;
    let process = member(cursor, "process", |cursor| {
        optional(cursor, |cursor| {
            clean_name(cursor, TextMember::ListenerProcess, cleaned)
        })
    })?;
    field::leave_object(cursor)?;
    Ok(Listener {
        ip: required(cursor, ip, "ip")?,
        port: required(cursor, port, "port")?,
        process: required(cursor, process, "process")?,
    })
}

fn auth_count(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<AuthCount, Reject> {
    field::enter_object(cursor)?;
    let count = member(cursor, "count", field::count)?;
    let outcome = member(cursor, "outcome", |cursor| {
        let word = field::text(cursor)?;
        let known = AuthOutcome::from_word(&word).ok_or(());
        within(cursor, known, "success or failure")
    })?;
    let service = member(cursor, "service", |cursor| {
        clean_name(cursor, TextMember::AuthService, cleaned)
    })?;
    field::leave_object(cursor)?;
    Ok(AuthCount {
        service: required(cursor, service, "service")?,
        outcome: required(cursor, outcome, "outcome")?,
        count: required(cursor, count, "count")?,
    })
}

fn place(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Persistence, Reject> {
    field::enter_object(cursor)?;
    let kind = member(cursor, "kind", |cursor| {
        clean_name(cursor, TextMember::PersistenceKind, cleaned)
    })?;
    let path = member(cursor, "path", |cursor| {
        clean_path(cursor, TextMember::PersistencePath, cleaned)
    })?;
    field::leave_object(cursor)?;
    Ok(Persistence {
        kind: required(cursor, kind, "kind")?,
        path: required(cursor, path, "path")?,
    })
}

fn collector_health(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<CollectorHealth, Reject> {
    field::enter_object(cursor)?;
    let collector = member(cursor, "collector", |cursor| {
        clean_name(cursor, TextMember::HealthCollector, cleaned)
    })?;
    let reason = member(cursor, "reason", |cursor| {
        optional(cursor, |cursor| {
            clean_name(cursor, TextMember::HealthReason, cleaned)
        })
    })?;
    let state = member(cursor, "state", |cursor| {
        let word = field::text(cursor)?;
        let known = CollectorState::from_word(&word).ok_or(());
        within(cursor, known, "ok, degraded or unavailable")
    })?;
    field::leave_object(cursor)?;
    Ok(CollectorHealth {
        collector: required(cursor, collector, "collector")?,
        state: required(cursor, state, "state")?,
        reason: required(cursor, reason, "reason")?,
    })
}

/// A text that is cut where it is too long and may be empty: a process chooses its own name, and
/// must not make its machine invisible by it.
fn clean_name(
    cursor: &mut Cursor<'_>,
    of: TextMember,
    cleaned: &mut CleanedTexts,
) -> Result<EndpointText, Reject> {
    let text = field::text(cursor)?;
    let kept = EndpointText::name(&text);
    cleaned.compare(of, &text, kept.as_str());
    Ok(kept)
}

fn clean_path(
    cursor: &mut Cursor<'_>,
    of: TextMember,
    cleaned: &mut CleanedTexts,
) -> Result<EndpointText, Reject> {
    let text = field::text(cursor)?;
    let kept = EndpointText::path(&text);
    cleaned.compare(of, &text, kept.as_str());
    Ok(kept)
}

fn read_pid(cursor: &mut Cursor<'_>) -> Result<u32, Reject> {
    let pid = field::integer(cursor)?;
    within(
        cursor,
        u32::try_from(pid),
        "an integer from 0 to 4294967295",
    )
}

fn read_port(cursor: &mut Cursor<'_>) -> Result<u16, Reject> {
    let port = field::integer(cursor)?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or(());
    within(cursor, port, "an integer from 1 to 65535")
}

fn read_ip(cursor: &mut Cursor<'_>) -> Result<IpAddr, Reject> {
    let text = field::text(cursor)?;
    let ip = text.parse::<IpAddr>();
    within(cursor, ip, "an IPv4 or IPv6 address without zone")
}
