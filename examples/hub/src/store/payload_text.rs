//! The parts of a payload that both stores keep as JSON, with the members of contract §2.

use monsys_core::endpoint::{EndpointSnapshot, EndpointText};
use monsys_core::json::ObjectText;
use monsys_core::sample::{Disk, Network};

pub(super) fn disks(disks: &[Disk]) -> String {
    ObjectText::list(disks.iter().map(|disk| {
        ObjectText::new()
            .text("mount", &disk.mount)
            .integer("total_bytes", disk.total_bytes.get())
            .integer("used_bytes", disk.used_bytes.get())
    }))
}

pub(super) fn networks(networks: &[Network]) -> String {
    ObjectText::list(networks.iter().map(|network| {
        ObjectText::new()
            .text("interface", &network.interface)
            .integer("rx_bytes", network.rx_bytes.get())
            .integer("tx_bytes", network.tx_bytes.get())
    }))
}

/// The processes, listeners, logins, persistence and health of a snapshot.
pub(super) fn endpoint(snapshot: &EndpointSnapshot) -> [String; 5] {
    let processes = snapshot.processes.iter().map(|process| {
        let object = ObjectText::new().text("name", process.name.as_str());
        let object = object.integer("pid", process.pid);
        let object = optional_text(object, "exe", process.exe.as_ref());
        optional_text(object, "username", process.username.as_ref())
    });
    let listeners = snapshot.listeners.iter().map(|listener| {
        let object = ObjectText::new().text("ip", &listener.ip.to_string());
        let object = object.integer("port", listener.port);
        optional_text(object, "process", listener.process.as_ref())
    });
    let auth = snapshot.auth.iter().map(|auth| {
        ObjectText::new()
            .text("service", auth.service.as_str())
            .text("outcome", auth.outcome.as_str())
            .integer("count", auth.count.get())
    });
    let persistence = snapshot.persistence.iter().map(|entry| {
        ObjectText::new()
            .text("kind", entry.kind.as_str())
            .text("path", entry.path.as_str())
    });
    let health = snapshot.health.iter().map(|health| {
        let object = ObjectText::new().text("collector", health.collector.as_str());
        let object = object.text("state", health.state.as_str());
        optional_text(object, "reason", health.reason.as_ref())
    });
    [
        ObjectText::list(processes),
        ObjectText::list(listeners),
        ObjectText::list(auth),
        ObjectText::list(persistence),
        ObjectText::list(health),
    ]
}

fn optional_text(object: ObjectText, name: &str, text: Option<&EndpointText>) -> ObjectText {
    match text {
        Some(text) => object.text(name, text.as_str()),
        None => object.null(name),
    }
}
