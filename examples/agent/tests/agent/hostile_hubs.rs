//! Hubs that answer anything but what a hub answers, and clocks that jump: nothing stops the agent,
//! harms the spool, or costs a payload that a good hub takes later.

use std::time::{Duration, Instant};

use monsys_agent::Clock;
use monsys_agent::send::answer::{Answer, Fault};
use monsys_agent::sender::{Sender, Step};
use monsys_agent::spool::{SpoolLimits, inspect};
use monsys_core::position::Admission;
use monsys_core::time::{Span, Timestamp};

use crate::hub::Reply;
use crate::sending::Bench;

/// Bodies that no hub sends, or that say nothing of a payload.
const BODIES: [&str; 7] = [
    "",
    "<html>sign in to the hotel</html>",
    "{}",
    "{\"status\":\"ok\"}",
    "{\"code\":\"nobody_knows\",\"min_epoch\":9}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\u{0}\u{1}\u{fffd}\r\n\r\nHTTP/1.1 202 x\r\n\r\n",
];

#[test]
fn every_status_with_every_body_keeps_the_payload_for_a_good_hub() {
    let mut bench = Bench::new();
    bench.spool_one();
    let elsewhere = format!("location: {}/elsewhere\r\n", bench.hub.url()).leak();
    let mut n_tried = 0;
    for status in 200..600 {
        let body = BODIES[n_tried % BODIES.len()];
        bench
            .hub
            .answer_next(Reply::Raw(status, elsewhere, body.to_owned()));
        let (answer, _) = bench.step();
        assert!(!answer.is_delivered(), "{status} {body:?}: {answer:?}");
        assert_eq!(bench.n_pending(), 1, "{status} {body:?}: {answer:?}");
        n_tried += 1;
    }
    println!("{n_tried} answers, all of them without effect");
    bench.assert_goes_on();
}

#[test]
fn redirects_are_never_followed() {
    let mut bench = Bench::new();
    bench.spool_one();
    let other = crate::hub::Hub::start();
    let elsewhere = format!("location: {}/api/v1/ingest\r\n", other.url()).leak();
    for status in [301, 302, 303, 307, 308] {
        bench
            .hub
            .answer_next(Reply::Raw(status, elsewhere, String::new()));
        assert_eq!(bench.step().0, Answer::Unreachable(Fault::Redirect));
    }
    assert!(other.arrived().is_empty());
    bench.assert_goes_on();
}

#[test]
fn ten_megabytes_as_body_or_as_headers_are_not_read_to_the_end() {
    let mut bench = Bench::new();
    bench.spool_one();
    let header = format!("x-long: {}\r\n", "y".repeat(10 << 20)).leak();
    for status in [200, 202, 400, 409, 422, 503] {
        let body = "z".repeat(10 << 20);
        bench.hub.answer_next(Reply::Raw(status, "", body));
        assert_eq!(
            bench.step().0,
            Answer::Unreachable(Fault::TooLong),
            "{status}"
        );
        bench
            .hub
            .answer_next(Reply::Raw(status, header, String::new()));
        let (answer, _) = bench.step();
        assert!(
            matches!(answer, Answer::Unreachable(_)),
            "{status}: {answer:?}"
        );
    }
    bench.assert_goes_on();
}

#[test]
fn a_hub_that_sends_one_byte_a_second_costs_a_timeout() {
    let mut bench = Bench::new();
    bench.spool_one();
    bench.hub.answer_next(Reply::Slowly(Duration::from_secs(1)));
    let begin = Instant::now();
    let limit = Duration::from_millis(2_500);
    let step = bench.sender.step(&bench.enrolment, &bench.spool, limit);
    let timed_out = Answer::Unreachable(Fault::Timeout);
    assert!(
        matches!(step, Step::Tried { answer, .. } if answer == timed_out),
        "{step:?}"
    );
    assert!(begin.elapsed() < limit * 2, "{:?}", begin.elapsed());
    bench.assert_goes_on();
}

#[test]
fn a_date_in_retry_after_is_read_by_the_clock_of_the_hub() {
    let mut bench = Bench::new();
    bench.spool_one();
    let headers =
        "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\nRetry-After: Thu, 01 Jan 2015 00:00:40 GMT\r\n";
    bench
        .hub
        .answer_next(Reply::Raw(503, headers, String::new()));
    let asked = Duration::from_secs(40);
    let (answer, wait) = bench.step();
    assert_eq!(answer, Answer::RetryAfter(Some(asked)));
    assert!(wait >= asked, "{wait:?}");
    bench.assert_goes_on();
}

/// A clock that shows another time, with a second of its own for each half of ours.
fn clock_at(shown: Timestamp) -> Clock {
    // It agrees with the wall at its origin and runs twice as fast, so the origin lies as far ahead
    // of the wall as the wall lies ahead of what it is to show.
    let wall = Clock::system().now();
    let origin = wall.saturating_add(wall.since(shown));
    Clock::accelerated(origin, 2).unwrap()
}

#[test]
fn a_clock_that_jumps_while_the_agent_runs_changes_no_position_and_loses_nothing() {
    let mut bench = Bench::new();
    let wall = Clock::system().now();
    let hour = Span::from_secs(3_600);
    let shown = [
        wall,
        wall.saturating_add(hour),
        wall,
        wall.saturating_sub(hour),
        Timestamp::from_unix_micros(0).unwrap(),
        wall,
    ];
    let mut n_spooled = 0;
    for shown in shown {
        let clock = clock_at(shown);
        assert!(
            clock.now().since(shown).abs() < Span::from_secs(5),
            "the clock jumped"
        );
        bench.sender = Sender::new(&bench.data, clock);
        // The hub is away for two samples, and takes what it is sent after the third.
        for _ in 0..2 {
            bench.spool_at(clock.now());
            bench.hub.answer_next(Reply::Cut);
            assert_eq!(bench.step().0, Answer::Unreachable(Fault::Connection));
        }
        bench.spool_at(clock.now());
        n_spooled += 3;
        assert_eq!(bench.step().0, Answer::Accepted);
    }
    while bench.n_pending() > 0 {
        assert_eq!(bench.step().0, Answer::Accepted);
    }
    let arrived = bench.hub.arrived();
    let taken = arrived.iter().filter(|arrived| arrived.admission.is_some());
    let mut seqs: Vec<u64> = taken
        .map(|arrived| {
            assert!(matches!(arrived.admission, Some(Admission::Fresh { .. })));
            assert_eq!(arrived.position.epoch(), 1);
            arrived.position.seq()
        })
        .collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=n_spooled));
    let status = inspect(&bench.data.spool(), SpoolLimits::standard()).unwrap();
    assert_eq!((status.pending, status.dropped), (0, 0));
}
