//! Cuts a snapshot to what one body holds (contract §2), and says in health what was left out.
//!
//! Health and logins are small and always go in. Listeners come next, places from which programs
//! start may take a quarter of the body, and processes take the rest; of each list the end is cut,
//! which for processes are the highest numbers. Exact: the length of a member in JSON is computed
//! and not guessed, so that a full snapshot is never refused. Pure. Cost: one pass over the texts.

use monsys_core::endpoint::{
    AuthCount, CollectorHealth, EndpointSnapshot, EndpointText, Listener, Persistence, Process,
};
use monsys_core::limit;

use super::health;

/// Cuts a snapshot to what a body holds.
pub fn cut(snapshot: &mut EndpointSnapshot) {
    cut_to(snapshot, limit::BODY_BYTES_MAX - RESERVED_BYTES);
}

fn cut_to(snapshot: &mut EndpointSnapshot, bytes_max: usize) {
    let fixed = snapshot.auth.iter().map(auth_bytes).sum::<usize>()
        + snapshot.health.iter().map(health_bytes).sum::<usize>();
    let mut left = bytes_max.saturating_sub(fixed);
    let EndpointSnapshot {
        processes,
        listeners,
        persistence,
        health,
        ..
    } = snapshot;
    left -= cut_list(
        listeners,
        left,
        listener_bytes,
        super::listener::COLLECTOR,
        health,
    );
    let quarter = left.min(bytes_max / 4);
    left -= cut_list(
        persistence,
        quarter,
        place_bytes,
        super::persistence::COLLECTOR,
        health,
    );
    cut_list(
        processes,
        left,
        process_bytes,
        super::process::COLLECTOR,
        health,
    );
}

/// Cuts one list and returns how many bytes it takes.
fn cut_list<T>(
    list: &mut Vec<T>,
    bytes_max: usize,
    bytes: impl Fn(&T) -> usize,
    collector: &str,
    health: &mut [CollectorHealth],
) -> usize {
    let mut taken = 0;
    let fitting = list.iter().take_while(|item| {
        let wanted = taken + bytes(item);
        let fits = wanted <= bytes_max;
        taken = if fits { wanted } else { taken };
        fits
    });
    let (n_fitting, n_all) = (fitting.count(), list.len());
    if n_fitting < n_all {
        list.truncate(n_fitting);
        for entry in health {
            if entry.collector.as_str() == collector {
                let cut = format!("{n_fitting} of {n_all} fit into one payload");
                let former = entry.reason.as_ref().map(EndpointText::as_str);
                let reason =
                    former.map_or_else(|| cut.clone(), |former| format!("{cut}; {former}"));
                *entry = health::degraded(collector, &reason);
            }
        }
    }
    taken
}

// The lengths of elements in JSON, with a comma each.

fn process_bytes(process: &Process) -> usize {
    let texts = [process.exe.as_ref(), process.username.as_ref()];
    let n_digits = process.pid.checked_ilog10().map_or(1, |log| log + 1);
    r#"{"exe":,"name":,"pid":,"username":},"#.len()
        + usize::try_from(n_digits).unwrap_or(PID_DIGITS_MAX)
        + text_bytes(&process.name)
        + texts.map(optional_bytes).iter().sum::<usize>()
}

fn listener_bytes(listener: &Listener) -> usize {
    r#"{"ip":"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255","port":65535,"process":},"#.len()
        + optional_bytes(listener.process.as_ref())
}

fn place_bytes(place: &Persistence) -> usize {
    r#"{"kind":,"path":},"#.len() + text_bytes(&place.kind) + text_bytes(&place.path)
}

fn auth_bytes(auth: &AuthCount) -> usize {
    r#"{"count":9007199254740991,"outcome":"success","service":},"#.len()
        + text_bytes(&auth.service)
}

fn health_bytes(health: &CollectorHealth) -> usize {
    r#"{"collector":,"reason":,"state":"unavailable"},"#.len()
        + text_bytes(&health.collector)
        + optional_bytes(health.reason.as_ref())
}

fn optional_bytes(text: Option<&EndpointText>) -> usize {
    text.map_or("null".len(), text_bytes)
}

/// In canonical JSON two characters of a cleaned text are escaped, with one more byte each.
fn text_bytes(text: &EndpointText) -> usize {
    let text = text.as_str();
    let n_escaped = text
        .bytes()
        .filter(|byte| matches!(byte, b'"' | b'\\'))
        .count();
    text.len() + n_escaped + "\"\"".len()
}

/// Digits of the highest number of 32 bits.
const PID_DIGITS_MAX: usize = 10;
/// Room for the head of a body and for what is said in health about the cuts.
const RESERVED_BYTES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, exe: &str) -> Process {
        Process {
            name: EndpointText::name("a\"b"),
            pid,
            exe: Some(EndpointText::path(exe)),
            username: None,
        }
    }

    fn snapshot(n: u32) -> EndpointSnapshot {
        EndpointSnapshot {
            processes: (1..=n)
                .map(|pid| process(pid, "/usr/bin/some-program"))
                .collect(),
            persistence: (1..=n)
                .map(|n| Persistence {
                    kind: EndpointText::name("cron"),
                    path: EndpointText::path(&format!("/etc/cron.d/{n}")),
                })
                .collect(),
            health: vec![
                health::ok(super::super::process::COLLECTOR),
                health::degraded(super::super::persistence::COLLECTOR, "half"),
                health::ok(super::super::listener::COLLECTOR),
            ],
            ..EndpointSnapshot::default()
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut cut_one = snapshot(100);
        cut(&mut cut_one);
        assert_eq!(cut_one, snapshot(100));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted_in_health() {
        let mut cut_one = snapshot(100);
        cut_to(&mut cut_one, 4_000);
        let (processes, places) = (cut_one.processes.len(), cut_one.persistence.len());
        assert!((1..100).contains(&processes) && (1..100).contains(&places));
        let all = snapshot(100);
        assert_eq!(cut_one.processes, all.processes[..processes]);
        let said = |at: usize| cut_one.health[at].clone();
        let of = |n| format!("{n} of 100 fit into one payload");
        assert_eq!(said(0), health::degraded("processes", &of(processes)));
        assert_eq!(
            said(1),
            health::degraded("persistence", &format!("{}; half", of(places)))
        );
        assert_eq!(said(2), health::ok("listeners"));
    }

    #[test]
    fn health_that_leaves_no_room_leaves_nothing_else() {
        let mut cut_one = snapshot(3);
        cut_to(&mut cut_one, 10);
        assert!(cut_one.processes.is_empty() && cut_one.persistence.is_empty());
        assert_eq!(cut_one.health.len(), 3);
    }

    #[test]
    fn lengths_are_those_of_json() {
        let texts = ["", "a", "\"", "a\\b\"c", "é/\u{1f600}", "[redacted-email]"];
        let value = |text: &EndpointText| serde_json::Value::from(text.as_str());
        for (name, exe) in texts.iter().flat_map(|name| texts.map(|exe| (name, exe))) {
            for pid in [1, u32::MAX] {
                let process = Process {
                    name: EndpointText::name(name),
                    pid,
                    exe: (!exe.is_empty()).then(|| EndpointText::path(exe)),
                    username: None,
                };
                let written = serde_json::json!({
                    "name": value(&process.name),
                    "pid": pid,
                    "exe": process.exe.as_ref().map(value),
                    "username": null,
                });
                let (computed, written) = (process_bytes(&process), written.to_string().len() + 1);
                assert!(
                    (written..written + 10).contains(&computed),
                    "{computed} {written}"
                );
            }
        }
    }
}
