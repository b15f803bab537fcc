//! What every answer of the hub has in common, and what every refusal has.

use super::Answer;

/// The headers of contract §4 that are fixed to the letter.
const EXACT: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Asserts the headers of contract §4 on an answer that came over plain HTTP, each once.
pub(crate) fn assert_security_headers(answer: &Answer) {
    assert_exact_headers(answer);
    assert_eq!(
        answer.header("strict-transport-security"),
        None,
        "this is plain HTTP"
    );
}

/// Asserts the headers of contract §4 on an answer that came over HTTPS, each once.
pub(crate) fn assert_security_headers_of_https(answer: &Answer) {
    assert_exact_headers(answer);
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000; includeSubDomains"),
        "{answer:?}"
    );
}

fn assert_exact_headers(answer: &Answer) {
    for (name, value) in EXACT {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    let policy = answer.header("permissions-policy").unwrap();
    assert!(
        policy
            .split(',')
            .all(|feature| feature.trim().ends_with("=()")),
        "{policy}"
    );
}

/// Asserts that an answer is a refusal of this status and code, in the form of RFC 9457.
pub(crate) fn assert_refusal(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{answer:?}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    assert_security_headers(answer);
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
    if let Some(pointer) = problem.get("pointer") {
        let pointer = pointer.as_str().unwrap();
        assert!(pointer.is_empty() || pointer.starts_with('/'), "{problem}");
    }
    let has_retry_after = answer.header("retry-after").is_some();
    assert_eq!(has_retry_after, matches!(status, 429 | 503), "{answer:?}");
}
