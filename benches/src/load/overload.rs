//! Three times as many payloads as a hub can take, by a fixed schedule.
//!
//! Capacity is measured first, then payloads are due at three times that rate, over as many
//! connections as a crowd of agents would hold. The hub may refuse: with 429 where a plan
//! (`MONSYS_ORG_RATE`) names the rate, with 503 where it can do no more; both must say when to come
//! back. In the end the hub is killed, and what it acknowledged is compared with what its store
//! holds: every acknowledged position must be there, and none that was refused.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::answer::Answers;
use super::body::Size;
use super::client::{Arrivals, Plan, send};
use super::crowd::{Crowd, Place, Requests};
use super::scene::Scene;
use super::{Options, say};
use crate::report::Figure;
use crate::report::Target::{AtLeast, AtMostNanos};
use crate::store::progress;
use crate::store::server::runtime;

/// The figures of overload.
pub(super) fn run(options: &Options) {
    let wait = runtime();
    let mut scene = Scene::on_sqlite(&wait, &options.program, "capacity", &[]);
    // The first drive warms up.
    drop(scene.closed(options.time / 6));
    let capacity = scene.closed(options.time / 3).0.rate_of(202);
    scene.kill().remove();
    let plan = (capacity as u32).to_string();
    for (name, rate, refusal) in [("plan", plan.as_str(), 429), ("no plan", "0", 503)] {
        let settings = [("MONSYS_ORG_RATE", rate)];
        let mut scene = Scene::on_sqlite(&wait, &options.program, "overload", &settings);
        let a_second = 3.0 * capacity;
        progress(&format!(
            "overload, {name}: {a_second:.0}/s over {N_CONNECTIONS} connections"
        ));
        let n = (a_second * options.time.as_secs_f64()) as usize;
        let requests = scene.crowd.requests(n, Size::TwoKilobytes);
        let plan = Plan {
            addr: scene.hub.addr,
            n_connections: N_CONNECTIONS,
            arrivals: Arrivals::Open { a_second },
            time: options.time,
        };
        let answers = send(&plan, &requests);
        let remains = scene.kill();
        let stored = stored(&remains.file(), &remains.crowd);
        for figure in figures(name, refusal, capacity, &answers, &requests, &stored) {
            say(options, &figure);
        }
        remains.remove();
    }
}

fn figures(
    name: &str,
    refusal: u16,
    capacity: f64,
    answers: &Answers,
    requests: &Requests,
    stored: &BTreeSet<Place>,
) -> [Figure; 4] {
    let place = |request: u32| requests.place(request as usize);
    let n_lost = answers
        .of(202)
        .filter(|answer| !stored.contains(&place(answer.request)))
        .count();
    let is_refused = |status| status == 429 || status == 503;
    let refused = || {
        answers
            .all
            .iter()
            .filter(|answer| is_refused(answer.response.status))
    };
    let n_refused = refused().count();
    let n_stored_all_the_same = refused()
        .filter(|answer| stored.contains(&place(answer.request)))
        .count();
    let n_with_retry_after = refused()
        .filter(|answer| answer.response.has_retry_after)
        .count();
    let n_accepted = answers.n_of(202);
    let n_due = answers.n_due as f64;
    let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|part| answers.millis_of(202, part));
    let named = |what: &str| format!("overload, {name}/{what}");
    [
        Figure::new(
            named("served"),
            answers.rate_of(202),
            capacity,
            AtLeast(0.5),
        )
        .with_detail(format!(
            "payloads/s against the capacity; {}; {} of {} sent",
            answers.statuses(),
            answers.n_sent,
            answers.n_due
        )),
        Figure::new(
            named("answered"),
            (n_accepted + n_with_retry_after) as f64,
            n_due,
            AtLeast(1.0),
        )
        .with_detail(format!(
            "of those due: {n_accepted} accepted, {n_refused} refused ({refusal} expected), \
             {n_with_retry_after} of these with Retry-After"
        )),
        Figure::new(
            named("acknowledged and stored"),
            (n_accepted - n_lost) as f64,
            n_accepted as f64,
            AtLeast(1.0),
        )
        .with_detail(format!(
            "{n_lost} lost, after SIGKILL; {n_stored_all_the_same} refused and stored all the same"
        )),
        Figure::new(
            named("p99 of the served"),
            p99 * 1e6,
            SERVED_WITHIN_NANOS,
            AtMostNanos(SERVED_WITHIN_NANOS),
        )
        .with_detail(format!(
            "ns, from when a payload was due; p50 {p50:.1} p99 {p99:.1} longest {longest:.1} ms"
        )),
    ]
}

/// The positions that a store holds.
fn stored(file: &Path, crowd: &Crowd) -> BTreeSet<Place> {
    let members = crowd.members().iter().enumerate();
    let members: std::collections::BTreeMap<_, _> = members
        .map(|(index, member)| (member.id.to_string(), index))
        .collect();
    // Writable, because what is left of the log of writes is taken in first.
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.expect("a store");
    let sql = "SELECT agent_id, seq FROM metrics WHERE tenant_id = ?1";
    let mut statement = connection.prepare(sql).expect("a statement");
    let rows = statement.query_map([crowd.tenant.to_string()], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, i64>(1)?.unsigned_abs(),
        ))
    });
    let rows = rows.expect("rows").map(|row| row.expect("a row"));
    rows.map(|(agent, seq)| Place {
        member: members[&agent],
        seq,
    })
    .collect()
}

/// As many agents as send within a tenth of a second.
const N_CONNECTIONS: usize = 2_048;
/// Who is served is served within a second.
const SERVED_WITHIN_NANOS: f64 = 1e9;
