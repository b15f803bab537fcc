//! The answer to every code, as a hub writes it and an agent reads it.

use monsys_core::json::{JsonCode, check};
use monsys_core::signal::{Rule, Violation, Violations};
use monsys_core::time::Timestamp;
use monsys_wire::answer::{Acknowledgement, Answer, problem_json};
use monsys_wire::header;
use monsys_wire::reject::SignatureFault;
use monsys_wire::{Code, Reject};
use serde_json::{Value, json};

use super::{cases, text_of};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}

/// One refusal of each code.
fn refusals() -> Vec<Reject> {
    let pointer = || "/data/load1".to_owned();
    let mut violations = Violations::default();
    violations.push(Violation {
        index: 2,
        rule: Rule::Severity,
    });
    let mut refusals = malformed();
    refusals.extend([
        Reject::MissingHeader {
            header: header::ORG,
        },
        Reject::BadHeader {
            header: header::NONCE,
        },
        Reject::Unauthorized,
        Reject::Stale { window_s: 300 },
        Reject::UnsignedPayload,
        Reject::BadSignature {
            reason: SignatureFault::Mismatch,
        },
        Reject::WrongAudience,
        Reject::WrongAgent,
        Reject::WrongProfile,
        Reject::Revoked,
        Reject::PinRefused,
        Reject::Replay,
        Reject::StaleEpoch { min_epoch: 8 },
        Reject::TooLarge {
            body_bytes_max: 524_288,
        },
        Reject::UnsupportedMediaType {
            header: header::CONTENT_TYPE,
        },
        Reject::UnknownField { pointer: pointer() },
        Reject::MissingField { pointer: pointer() },
        Reject::WrongType {
            pointer: pointer(),
            expected: "a number",
        },
        Reject::OutOfRange {
            pointer: pointer(),
            expected: "a number that is not negative",
        },
        Reject::InvalidSignal { violations },
        Reject::RateLimited { retry_after_s: 2 },
        Reject::ReplayCapacity { retry_after_s: 30 },
        Reject::StoreUnavailable { retry_after_s: 5 },
    ]);
    refusals
}

fn malformed() -> Vec<Reject> {
    let texts: [&[u8]; 7] = [
        b"\xff",
        b"{",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        br#"{"a":1,"a":2}"#,
        b"[1e400]",
        br#"["\ud800"]"#,
        b"[ 1]",
    ];
    let refused = texts.map(|text| {
        let error = check(text).unwrap_err();
        let is_twice = error.code == JsonCode::DuplicateName;
        let pointer = is_twice.then(|| "/a".to_owned());
        Reject::Malformed { error, pointer }
    });
    refused.into()
}

pub(crate) fn make() -> Value {
    let refused = refusals().into_iter().map(|reject| {
        let body = problem_json(&reject, now());
        json!({
            "name": format!("{} is answered with {}", reject.code(), reject.status()),
            "status": reject.status(),
            "code": reject.code(),
            "retry_after_s": reject.retry_after_s(),
            "body": body,
        })
    });
    let accepted = [Acknowledgement::Accepted, Acknowledgement::Duplicate].map(|ack| {
        json!({
            "name": format!("{} tells that the payload is delivered", ack.status()),
            "status": ack.status(),
            "code": null,
            "body": ack.to_json(now()),
        })
    });
    json!({
        "about": "what a hub answers; an agent decides by status and code",
        "cases": refused.chain(accepted).collect::<Vec<_>>(),
    })
}

pub(crate) fn verify(file: &Value) {
    let mut codes: Vec<&str> = Vec::new();
    for case in cases(file) {
        let name = text_of(case, "name");
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let answer = Answer::read(status, text_of(case, "body").as_bytes());
        assert_eq!(
            answer.code.map(Code::as_str),
            case["code"].as_str(),
            "{name}"
        );
        assert_eq!(answer.is_delivered(), case["code"].is_null(), "{name}");
        codes.extend(case["code"].as_str());
    }
    for code in Code::ALL {
        let times = codes
            .iter()
            .filter(|known| **known == code.as_str())
            .count();
        assert_eq!(times, 1, "{}", code.as_str());
    }
}
