//! The sender against each class of answer.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use monsys_agent::Clock;
use monsys_agent::config::{Config, DataDir};
use monsys_agent::enrolment::Enrolment;
use monsys_agent::send::answer::{Answer, Fault};
use monsys_agent::sender::{Sender, Step};
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_agent::{Daemon, DaemonOptions, key};
use monsys_core::position::{Admission, ContentHash, Position, PositionSet};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::time::Timestamp;
use monsys_wire::Reject;
use monsys_wire::compose::Outbound;
use monsys_wire::reject::Code;

use crate::hub::{Hub, Reply, TempDir, closed_door};

/// A sender with its spool, and a hub.
pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) data: DataDir,
    pub(crate) enrolment: Enrolment,
    pub(crate) sender: Sender,
    pub(crate) spool: Mutex<Spool>,
    _dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (hub, dir) = (Hub::start(), TempDir::new());
        let data = DataDir::at(dir.path());
        let (enrolment, sender) = enrol(&hub, &data);
        let spool = Mutex::new(Spool::open(&data.spool(), SpoolLimits::standard()).unwrap());
        Self {
            hub,
            data,
            enrolment,
            sender,
            spool,
            _dir: dir,
        }
    }

    pub(crate) fn spool_one(&self) -> u64 {
        self.spool_at(Clock::system().now())
    }

    pub(crate) fn spool_at(&self, captured_at: Timestamp) -> u64 {
        let random = f64::from(getrandom::u32().unwrap());
        let sample = MetricSample::of_cpu(CpuPercent::new(random / 4_294_967_296.0).unwrap());
        let body = |position| {
            Ok(self
                .enrolment
                .compose(Outbound::Metrics(&sample), position, captured_at)?
                .as_bytes()
                .to_vec())
        };
        self.spool
            .lock()
            .unwrap()
            .append(captured_at, body)
            .unwrap()
    }

    pub(crate) fn step(&mut self) -> (Answer, Duration) {
        match self
            .sender
            .step(&self.enrolment, &self.spool, Duration::from_secs(5))
        {
            Step::Tried { answer, wait, .. } => (answer, wait),
            other @ (Step::Idle | Step::Stalled { .. }) => panic!("{other:?}"),
        }
    }

    pub(crate) fn n_pending(&self) -> usize {
        self.spool.lock().unwrap().ledger().n_pending()
    }

    /// Asserts that nothing was set aside, and that a good hub takes what is there and what follows.
    pub(crate) fn assert_goes_on(&mut self) {
        self.hub.take_back_replies();
        self.spool_one();
        while self.n_pending() > 0 {
            assert_eq!(self.step().0, Answer::Accepted);
        }
        assert_eq!(self.quarantined(), Vec::<String>::new());
        let spool = self.spool.lock().unwrap();
        assert_eq!((spool.ledger().n_dropped(), spool.ledger().epoch()), (0, 1));
    }

    fn quarantined(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.data.quarantine()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn seqs(&self) -> Vec<(u64, u64)> {
        self.hub
            .arrived()
            .iter()
            .map(|a| (a.position.epoch(), a.position.seq()))
            .collect()
    }
}

fn enrol(hub: &Hub, data: &DataDir) -> (Enrolment, Sender) {
    let key = key::create(&data.key()).unwrap();
    hub.pin(&key.verifying_key());
    let (url, token, agent_id) = (hub.url(), &hub.token, hub.agent_id);
    let text = format!(
        "hub = \"{url}\"\ntoken = \"{token}\"\nagent_id = \"{agent_id}\"\naud = \"test-hub\"\n"
    );
    Config::parse(&data.config(), &text)
        .unwrap()
        .save(&data.config())
        .unwrap();
    let enrolment = Enrolment::load(data).unwrap();
    let sender = Sender::new(data, Clock::system());
    (enrolment, sender)
}

#[test]
fn an_accepted_payload_leaves_the_spool() {
    let mut bench = Bench::new();
    bench.spool_one();
    assert_eq!(bench.step(), (Answer::Accepted, Duration::ZERO));
    assert_eq!(bench.n_pending(), 0);
    let idle = bench
        .sender
        .step(&bench.enrolment, &bench.spool, Duration::from_secs(5));
    assert_eq!(idle, Step::Idle);
}

#[test]
fn a_lost_answer_leads_to_a_duplicate_and_changes_nothing_but_sent_at() {
    let mut bench = Bench::new();
    bench.spool_one();
    bench.hub.answer_next(Reply::CutAfterStoring);
    assert_eq!(bench.step().0, Answer::Unreachable(Fault::Connection));
    assert_eq!(bench.step().0, Answer::Duplicate);
    assert_eq!(bench.n_pending(), 0);
    let arrived = bench.hub.arrived();
    assert_eq!(arrived[0].content, arrived[1].content);
    assert_ne!(
        arrived[0].body, arrived[1].body,
        "sent_at is that of the attempt"
    );
}

#[test]
fn the_freshest_goes_first_and_the_backlog_follows_from_its_oldest_with_rests() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.spool_one();
    }
    let waits: Vec<Duration> = (0..4).map(|_| bench.step().1).collect();
    assert_eq!(bench.seqs(), [(1, 4), (1, 1), (1, 2), (1, 3)]);
    assert_eq!(waits[0], Duration::ZERO);
    assert!(waits[1..].iter().all(|wait| !wait.is_zero()), "{waits:?}");
    let gaps = bench
        .hub
        .arrived()
        .iter()
        .filter(|a| a.admission == Some(Admission::Fresh { fills_gap: true }))
        .count();
    assert_eq!(gaps, 3, "the hub sees a backlog");
}

#[test]
fn a_stale_epoch_moves_everything_and_loses_nothing() {
    let mut bench = Bench::new();
    let mut positions = PositionSet::new();
    let former = Position::new(6, 40).unwrap();
    assert!(matches!(
        positions.admit(former, ContentHash([0; 32]), None),
        Admission::Fresh { .. }
    ));
    bench.hub.set_positions(positions);
    for _ in 0..3 {
        bench.spool_one();
    }
    assert_eq!(bench.step().0, Answer::StaleEpoch { min_epoch: 7 });
    for _ in 0..3 {
        assert_eq!(bench.step().0, Answer::Accepted);
    }
    assert_eq!(bench.seqs(), [(1, 3), (7, 3), (7, 1), (7, 2)]);
    assert_eq!(bench.n_pending(), 0);
}

#[test]
fn a_restored_backup_costs_an_epoch_and_no_payload() {
    let mut bench = Bench::new();
    let mut positions = PositionSet::new();
    for seq in 1..=9 {
        let used = Position::new(1, seq).unwrap();
        assert!(matches!(
            positions.admit(used, ContentHash([0; 32]), None),
            Admission::Fresh { .. }
        ));
    }
    bench.hub.set_positions(positions);
    bench.spool_one();
    bench.hub.answer_next(Reply::Refuse(Reject::Replay));
    assert_eq!(bench.step().0, Answer::Replay);
    assert_eq!(bench.step().0, Answer::Accepted);
    assert_eq!(bench.seqs(), [(1, 1), (2, 1)]);
    assert!(bench.quarantined().is_empty());
}

#[test]
fn a_replay_that_no_epoch_helps_is_set_aside_once_others_pass() {
    let mut bench = Bench::new();
    bench.spool_one();
    for _ in 0..9 {
        bench.hub.answer_next(Reply::Refuse(Reject::Replay));
        assert_eq!(bench.step().0, Answer::Replay);
    }
    assert_eq!((bench.n_pending(), bench.quarantined().len()), (1, 0));
    bench.spool_one();
    assert_eq!(bench.step().0, Answer::Accepted);
    bench.hub.answer_next(Reply::Refuse(Reject::Replay));
    assert_eq!(bench.step().0, Answer::Replay);
    assert_eq!((bench.n_pending(), bench.quarantined().len()), (0, 1));
    bench.spool_one();
    assert_eq!(bench.step().0, Answer::Accepted);
}

#[test]
fn refused_payloads_go_to_a_bounded_quarantine_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    let too_large = Reject::TooLarge { body_bytes_max: 1 };
    let unsupported = Reject::UnsupportedMediaType {
        header: "content-type",
    };
    let out_of_range = Reject::OutOfRange {
        pointer: "/data".to_owned(),
        expected: "x",
    };
    for reject in [too_large, unsupported, out_of_range] {
        bench.spool_one();
        let code = reject.kind();
        bench.hub.answer_next(Reply::Refuse(reject));
        assert_eq!(bench.step(), (Answer::Refused(code), Duration::ZERO));
    }
    assert_eq!(bench.quarantined().len(), 3);
    assert!(bench.quarantined()[0].ends_with("-too_large.json"));
    for _ in 0..16 {
        bench.spool_one();
        bench
            .hub
            .answer_next(Reply::Refuse(Reject::TooLarge { body_bytes_max: 1 }));
        bench.step();
    }
    assert_eq!(bench.quarantined().len(), 16);
    bench.spool_one();
    assert_eq!(bench.step().0, Answer::Accepted);
}

#[test]
fn a_denied_agent_keeps_its_spool_and_asks_again_slowly() {
    let mut bench = Bench::new();
    bench.spool_one();
    let cases = [
        (Reject::Unauthorized, Code::Unauthorized),
        (Reject::Revoked, Code::Revoked),
        (Reject::WrongAudience, Code::WrongAudience),
    ];
    for (reject, code) in cases {
        bench.hub.answer_next(Reply::Refuse(reject));
        assert_eq!(
            bench.step(),
            (Answer::Denied(Some(code)), Duration::from_secs(300))
        );
    }
    assert_eq!(bench.n_pending(), 1);
    assert_eq!(bench.step().0, Answer::Accepted);
}

#[test]
fn retry_after_is_honoured() {
    let mut bench = Bench::new();
    bench.spool_one();
    for status in [429, 503] {
        bench
            .hub
            .answer_next(Reply::Raw(status, "Retry-After: 17\r\n", String::new()));
        let asked = Duration::from_secs(17);
        let (answer, wait) = bench.step();
        assert_eq!(answer, Answer::RetryAfter(Some(asked)));
        assert!(wait >= asked && wait <= asked * 2, "{wait:?}");
    }
    assert_eq!(bench.n_pending(), 1);
}

#[test]
fn garbage_redirects_errors_and_long_answers_keep_the_payload() {
    let mut bench = Bench::new();
    bench.spool_one();
    let elsewhere = format!("location: {}/elsewhere\r\n", bench.hub.url()).leak();
    let cases = [
        (
            Reply::Raw(302, elsewhere, String::new()),
            Answer::Unreachable(Fault::Redirect),
        ),
        (
            Reply::Raw(307, elsewhere, String::new()),
            Answer::Unreachable(Fault::Redirect),
        ),
        (
            Reply::Raw(200, "", "<html>".to_owned()),
            Answer::Unreachable(Fault::Nonsense),
        ),
        (
            Reply::Raw(202, "", "x".repeat(10 << 20)),
            Answer::Unreachable(Fault::TooLong),
        ),
        (
            Reply::Raw(500, "", "oops".to_owned()),
            Answer::Unreachable(Fault::HubError),
        ),
        (
            Reply::Raw(404, "", "nginx".to_owned()),
            Answer::Foreign { status: 404 },
        ),
        (
            Reply::Raw(400, "", "nginx".to_owned()),
            Answer::Foreign { status: 400 },
        ),
        (Reply::Cut, Answer::Unreachable(Fault::Connection)),
    ];
    for (reply, expected) in cases {
        bench.hub.answer_next(reply);
        assert_eq!(bench.step().0, expected);
        assert_eq!(bench.n_pending(), 1, "{expected:?}");
    }
    assert_eq!(bench.step().0, Answer::Accepted);
}

#[test]
fn a_silent_hub_costs_a_timeout_and_not_the_payload() {
    let mut bench = Bench::new();
    bench.spool_one();
    bench.hub.answer_next(Reply::Silence);
    let step = bench
        .sender
        .step(&bench.enrolment, &bench.spool, Duration::from_millis(50));
    assert!(
        matches!(
            step,
            Step::Tried {
                answer: Answer::Unreachable(Fault::Timeout),
                ..
            }
        ),
        "{step:?}"
    );
    assert_eq!(bench.n_pending(), 1);
}

#[test]
fn a_hub_that_is_not_there_is_unreachable() {
    let mut bench = Bench::new();
    let gone = closed_door();
    let text = fs::read_to_string(bench.data.config())
        .unwrap()
        .replace(bench.hub.url(), &gone);
    Config::parse(&bench.data.config(), &text)
        .unwrap()
        .save(&bench.data.config())
        .unwrap();
    bench.enrolment = Enrolment::load(&bench.data).unwrap();
    bench.spool_one();
    assert_eq!(bench.step().0, Answer::Unreachable(Fault::Connection));
}

#[test]
fn a_hanging_hub_delays_no_sample_and_the_end_takes_two_seconds() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let data = DataDir::at(dir.path());
    enrol(&hub, &data);
    hub.answer_next(Reply::Silence);
    let clock = Clock::accelerated(Clock::system().now(), 60).unwrap();
    let daemon = Daemon::open(&data, DaemonOptions::standard(clock)).unwrap();
    let stop = daemon.stop_handle();
    let running = std::thread::spawn(move || daemon.run().unwrap());
    hub.events().recv().unwrap();
    // The request hangs; what is sampled meanwhile shows in the spool: four samples and, from the
    // first tick, a snapshot and signals.
    while monsys_agent::spool::inspect(&data.spool(), SpoolLimits::standard())
        .unwrap()
        .pending
        < 6
    {
        std::thread::yield_now();
    }
    assert_eq!(hub.arrived().len(), 1);
    let begin = std::time::Instant::now();
    stop.stop();
    let report = running.join().unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    assert!(report.n_samples >= 4 && report.spool.pending >= 4);
}
