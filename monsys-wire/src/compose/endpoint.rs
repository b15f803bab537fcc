//! The data of an `endpoint` payload, members in canonical order.

use alloc::string::String;

use monsys_core::endpoint::{EndpointSnapshot, EndpointText};
use monsys_core::limit;

use super::ComposeError;
use super::member::{Object, array};

pub(super) fn endpoint(snapshot: &EndpointSnapshot) -> Result<String, ComposeError> {
    let lengths = [
        (snapshot.auth.len(), limit::ENDPOINT_AUTH_MAX),
        (snapshot.health.len(), limit::ENDPOINT_HEALTH_MAX),
        (snapshot.listeners.len(), limit::ENDPOINT_LISTENERS_MAX),
        (snapshot.persistence.len(), limit::ENDPOINT_PERSISTENCE_MAX),
        (snapshot.processes.len(), limit::ENDPOINT_PROCESSES_MAX),
    ];
    if lengths.iter().any(|(length, n_max)| length > n_max) {
        return Err(ComposeError::ListLength);
    }
    let auth = snapshot.auth.iter().map(|auth| {
        Object::new()
            .integer("count", auth.count.get())
            .text("outcome", auth.outcome.as_str())
            .text("service", auth.service.as_str())
            .finish()
    });
    let health = snapshot.health.iter().map(|health| {
        or_null(
            Object::new().text("collector", health.collector.as_str()),
            "reason",
            health.reason.as_ref(),
        )
        .text("state", health.state.as_str())
        .finish()
    });
    let listeners = snapshot.listeners.iter().map(|listener| {
        let object = Object::new()
            .display("ip", &listener.ip)
            .integer("port", i64::from(listener.port));
        or_null(object, "process", listener.process.as_ref()).finish()
    });
    let persistence = snapshot.persistence.iter().map(|place| {
        Object::new()
            .text("kind", place.kind.as_str())
            .text("path", place.path.as_str())
            .finish()
    });
    let processes = snapshot.processes.iter().map(|process| {
        let object = or_null(Object::new(), "exe", process.exe.as_ref())
            .text("name", process.name.as_str())
            .integer("pid", i64::from(process.pid));
        or_null(object, "username", process.username.as_ref()).finish()
    });
    Ok(Object::new()
        .raw("auth", &array(auth))
        .raw("health", &array(health))
        .raw("listeners", &array(listeners))
        .raw("persistence", &array(persistence))
        .raw("processes", &array(processes))
        .finish())
}

fn or_null(object: Object, name: &str, text: Option<&EndpointText>) -> Object {
    match text {
        Some(text) => object.text(name, text.as_str()),
        None => object.raw(name, "null"),
    }
}
