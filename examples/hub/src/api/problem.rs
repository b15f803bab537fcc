//! Refusals as `application/problem+json` (RFC 9457), with our `code` beside.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use monsys_wire::Reject;
use monsys_wire::answer::problem_json;
use monsys_wire::header::PROBLEM_TYPE;
use serde::Serialize;

use crate::telemetry::SeenFault;

/// How long clients wait when the store is away, in seconds.
const RETRY_AFTER_S: u32 = 5;
/// How long a page goes without a stream that had no place for it, in seconds.
const STREAM_AFTER_S: u32 = 60;

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

/// Answers a refused request of an agent.
pub(crate) fn of_reject(reject: &Reject, now: Timestamp) -> Response {
    answer(
        reject.status(),
        problem_json(reject, now),
        reject.retry_after_s(),
    )
}

/// Answers a request that the store could not serve.
pub(crate) fn of_store(error: &StoreError) -> Response {
    if *error == StoreError::NotFound {
        return not_found();
    }
    tracing::error!(%error, "store did not answer");
    let problem = Problem {
        r#type: urn("store_unavailable"),
        title: "Store unavailable",
        status: 503,
        detail: "expected a store that answers; nothing was changed",
        code: "store_unavailable",
    };
    let mut response = of_problem(&problem, Some(RETRY_AFTER_S));
    SeenFault::mark(&mut response, error);
    response
}

/// Answers who asks whether a hub that ends is ready: another one is.
pub(crate) fn ending() -> Response {
    let problem = Problem {
        r#type: urn("ending"),
        title: "Ending",
        status: 503,
        detail: "expected a hub that does not end",
        code: "ending",
    };
    of_problem(&problem, Some(RETRY_AFTER_S))
}

/// Answers a request without a valid session.
pub(crate) fn unauthorized() -> Response {
    unauthorized_for("a valid session cookie")
}

/// Answers a request that does not show what it must.
pub(crate) fn unauthorized_for(what: &str) -> Response {
    let expected = format!("expected {what}");
    problem(401, "unauthorized", "Unauthorized", &expected)
}

/// Answers a request that its sender may not make.
pub(crate) fn forbidden(expected: &str) -> Response {
    problem(403, "forbidden", "Forbidden", expected)
}

/// Answers a request at which the hub itself failed.
pub(crate) fn fault() -> Response {
    let detail = "expected no fault of the hub; its log has the place";
    problem(500, "fault", "Internal server error", detail)
}

/// Answers a request that came in the open, where HTTPS is enforced.
pub(crate) fn https_required() -> Response {
    let expected = "expected HTTPS: what was sent could be read on its way";
    problem(403, "https_required", "HTTPS required", expected)
}

/// Answers a request for something that is not there, or is another organisation's.
pub(crate) fn not_found() -> Response {
    problem(
        404,
        "not_found",
        "Not found",
        "expected an existing resource of this organisation",
    )
}

/// Answers a request with a parameter or body that cannot be used.
pub(crate) fn unprocessable(expected: &str) -> Response {
    problem(422, "out_of_range", "Unprocessable content", expected)
}

/// Answers a request whose body breaks one rule of its members.
pub(crate) fn unprocessable_as(code: &str, expected: &str) -> Response {
    problem(422, code, "Unprocessable content", expected)
}

/// Answers a request with a body that cannot be read.
pub(crate) fn malformed(code: &str, expected: &str) -> Response {
    problem(400, code, "Bad request", expected)
}

/// Answers a request for something that is there already.
pub(crate) fn conflict(expected: &str) -> Response {
    problem(409, "already_exists", "Conflict", expected)
}

/// Answers a request that came too often.
pub(crate) fn rate_limited(expected: &str, retry_after_s: u32) -> Response {
    let problem = Problem {
        r#type: urn("rate_limited"),
        title: "Too many requests",
        status: 429,
        detail: expected,
        code: "rate_limited",
    };
    of_problem(&problem, Some(retry_after_s))
}

/// Answers a request for which there is no place among those under way.
pub(crate) fn busy(expected: &str, retry_after_s: u32) -> Response {
    let problem = Problem {
        r#type: urn("busy"),
        title: "Busy",
        status: 503,
        detail: expected,
        code: "busy",
    };
    of_problem(&problem, Some(retry_after_s))
}

/// Answers a request with a body that is larger than any note or reason makes it.
pub(crate) fn too_large() -> Response {
    problem(
        413,
        "too_large",
        "Content too large",
        "expected a body of at most 65536 bytes, and a note in it of at most 4096",
    )
}

/// Answers a request that took too long to arrive.
pub(crate) fn too_slow() -> Response {
    problem(
        408,
        "request_timeout",
        "Request timeout",
        "expected a complete request in time",
    )
}

/// Answers a request for a stream of events for which there is no place; a page asks now and then
/// instead.
pub(crate) fn no_stream(status: u16, expected: &str) -> Response {
    let problem = Problem {
        r#type: urn("no_stream"),
        title: "No stream",
        status,
        detail: expected,
        code: "no_stream",
    };
    of_problem(&problem, Some(STREAM_AFTER_S))
}

/// Answers a request that was refused before anybody could say more of it than a status.
pub(crate) fn of_status(status: StatusCode) -> Response {
    let (code, title, detail) = match status {
        StatusCode::NOT_FOUND => return not_found(),
        StatusCode::METHOD_NOT_ALLOWED => return method_not_allowed(),
        StatusCode::PAYLOAD_TOO_LARGE => return too_large(),
        StatusCode::REQUEST_TIMEOUT => return too_slow(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "unsupported_media_type",
            "Unsupported media type",
            "expected another content-type",
        ),
        StatusCode::UNPROCESSABLE_ENTITY => return unprocessable("expected another content"),
        status if status.is_server_error() => (
            "internal",
            "Internal error",
            "expected nothing of this request: the fault is the hub's",
        ),
        _ => (
            "syntax",
            "Bad request",
            "expected a well-formed request, in UTF-8",
        ),
    };
    problem(status.as_u16(), code, title, detail)
}

/// Answers a request by a method that the path does not have.
pub(crate) fn method_not_allowed() -> Response {
    problem(
        405,
        "method_not_allowed",
        "Method not allowed",
        "expected another method at this path",
    )
}

fn problem(status: u16, code: &str, title: &str, detail: &str) -> Response {
    of_problem(
        &Problem {
            r#type: urn(code),
            title,
            status,
            detail,
            code,
        },
        None,
    )
}

fn urn(code: &str) -> String {
    format!("urn:monsys:error:{code}")
}

fn of_problem(problem: &Problem<'_>, retry_after_s: Option<u32>) -> Response {
    answer(
        problem.status,
        serde_json::to_string(problem).unwrap_or_default(),
        retry_after_s,
    )
}

fn answer(status: u16, body: String, retry_after_s: Option<u32>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
