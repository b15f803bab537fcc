//! The hub does not become a probe of the network it stands in.

use serde_json::{Value, json};

use crate::authority::DAY;
use crate::look::{Bench, config_file};
use crate::server::Server;

#[test]
fn an_address_inside_is_refused_and_not_connected_to() {
    let bench = Bench::new();
    let server = Server::tls(&bench.root.certify(&["127.0.0.1"], 90 * DAY));
    let port = server.addr.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let target = format!("{host}:{port}");
        let output = bench.scan(&["--target", &target]);
        assert_eq!(output.status.code(), Some(69), "{host}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let item = &said["items"][0];
        let expected = json!({"value": null, "reason": "address_refused"});
        assert_eq!(item["signals"][0]["value"], expected, "{host}");
        assert_eq!(item["severity"], "low", "{host}");
    }
    assert_eq!(server.n_connections(), 0);
}

#[test]
fn a_permission_opens_what_it_names_and_no_more() {
    let bench = Bench::new();
    let allowed = Server::tls(&bench.root.certify(&["127.0.0.1"], 90 * DAY));
    let other = Server::tls(&bench.root.certify(&["127.0.0.1"], 90 * DAY));
    let (port, other_port) = (allowed.addr.port(), other.addr.port());
    let text = format!(
        "[scan]\nca_file = {:?}\n\
         [[scan.certs]]\norg = \"acme\"\nhost = \"127.0.0.1\"\nport = {port}\nallow_private = true\n\
         [[scan.certs]]\norg = \"acme\"\nhost = \"127.0.0.1\"\nport = {other_port}\n",
        bench.ca_file()
    );
    let file = config_file(bench.data.path(), &text);
    let output = bench.scan(&["--config", &file]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = said["items"].as_array().unwrap();
    assert_eq!(items[0]["severity"], Value::Null, "{said}");
    assert_eq!(items[1]["signals"][0]["value"]["reason"], "address_refused");
    assert_eq!((allowed.n_connections(), other.n_connections()), (1, 0));
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn no_permission_opens_addresses_that_are_no_endpoint() {
    let bench = Bench::new();
    for host in [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "[::]",
        "[ff02::1]",
    ] {
        let found = bench.look_at(&format!("{host}:443"), &[]);
        found.assert_unseen("address_refused", "low", 69);
    }
}
