//! What every refusal of a request keeps to.

use monsys_core::json;
use monsys_core::time::Timestamp;
use monsys_wire::answer::{Answer, problem_json};
use monsys_wire::{Code, Reject};

/// A refusal is the sender's fault, points nowhere far away, and its answer can be read back.
pub(crate) fn is_fair(reject: &Reject) {
    assert!(
        (400..500).contains(&reject.status()),
        "the sender's fault: {reject}"
    );
    let pointer = reject.pointer().unwrap_or_default();
    assert!(pointer.len() <= json::POINTER_BYTES_MAX);
    assert!(pointer.is_empty() || pointer.starts_with('/'));
    let problem = problem_json(reject, now());
    let answer = Answer::read(reject.status(), problem.as_bytes());
    assert_eq!(
        answer.code.map(Code::as_str),
        Some(reject.code()),
        "an agent reads what a hub answers"
    );
    assert!(!answer.is_delivered());
    let lenient = json::Profile::rfc8785();
    let checked =
        json::canonicalize_with(problem.as_bytes(), &mut json::Scratch::new(), lenient).map(|_| ());
    assert_eq!(checked, Ok(()), "an answer is JSON");
}

/// The clock of the corpora.
pub(crate) fn now() -> Timestamp {
    let Ok(now) = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z") else {
        panic!("a time of the contract's form")
    };
    now
}
