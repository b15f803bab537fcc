//! A look by hand, and what it found.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::authority::Authority;
use crate::server::Server;
use crate::support::DataDir;

/// A store with an organisation, and an authority that its hub believes.
pub(crate) struct Bench {
    pub(crate) data: DataDir,
    pub(crate) root: Authority,
}

/// What one look said.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) code: i32,
    pub(crate) item: Value,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let root = Authority::root("Test Root");
        root.file(&data);
        Self { data, root }
    }

    pub(crate) fn ca_file(&self) -> String {
        self.data.path().join("ca.pem").display().to_string()
    }

    /// Looks at an address of this machine.
    pub(crate) fn look(&self, server: &Server, name: &str) -> Found {
        self.look_at(&server.target(), &["--name", name])
    }

    /// Looks for a second at most, which is enough to find that nothing comes.
    pub(crate) fn look_shortly(&self, server: &Server) -> Found {
        self.look_at(&server.target(), &["--scan-timeout", "1s"])
    }

    pub(crate) fn look_at(&self, target: &str, more: &[&str]) -> Found {
        let ca_file = self.ca_file();
        let arguments = [
            "--target",
            target,
            "--scan-allow-private",
            "--scan-ca-file",
            &ca_file,
        ];
        let output = self.scan(&[&arguments[..], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{target} {more:?}: {stderr}"));
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(said["items"].as_array().map(Vec::len), Some(1), "{said}");
        Found {
            code: output.status.code().unwrap(),
            item: said["items"][0].clone(),
        }
    }

    pub(crate) fn scan(&self, more: &[&str]) -> Output {
        let arguments = ["scan", "certs", "--org", "acme", "--json"];
        self.data.run(&[&arguments[..], more].concat())
    }

    /// What the store holds of a subject, the newest first.
    pub(crate) fn stored(&self, subject: &str) -> Vec<Value> {
        let query = self.data.json(&[
            "signals",
            "query",
            "--org",
            "acme",
            "--source",
            "cert_scan",
            "--subject-type",
            "endpoint",
            "--subject-id",
            subject,
        ]);
        query["items"].as_array().unwrap().clone()
    }
}

impl Found {
    /// The value object of a key.
    pub(crate) fn value(&self, key: &str) -> &Value {
        &self.signal(key)["value"]
    }

    /// The severity of a key, or `null`.
    pub(crate) fn severity(&self, key: &str) -> &Value {
        &self.signal(key)["severity"]
    }

    /// Name, chain and severity of the expiry: what most tests ask for.
    pub(crate) fn verdicts(&self) -> (bool, bool, Option<&str>) {
        let is_ok = |key| self.value(key)["value"].as_bool().unwrap();
        let expiry = self.severity("cert.expiry_days").as_str();
        (is_ok("cert.name_ok"), is_ok("cert.chain_ok"), expiry)
    }

    /// Why the chain leads nowhere, or nothing was seen.
    pub(crate) fn reason(&self) -> &str {
        self.value("cert.chain_ok")["reason"].as_str().unwrap_or("")
    }

    /// Asserts that nothing was seen, for this reason and so badly.
    pub(crate) fn assert_unseen(&self, reason: &str, severity: &str, code: i32) {
        let expected = serde_json::json!([{
            "key": "cert.chain_ok",
            "value": {"value": null, "reason": reason},
            "severity": severity,
        }]);
        assert_eq!(self.item["signals"], expected, "{}", self.item);
        assert_eq!(self.code, code, "{}", self.item);
    }

    fn signal(&self, key: &str) -> &Value {
        let signals = self.item["signals"].as_array().unwrap();
        let found = signals.iter().find(|signal| signal["key"] == key);
        found.unwrap_or_else(|| panic!("no {key}: {}", self.item))
    }
}

/// Writes a configuration file.
pub(crate) fn config_file(directory: &Path, text: &str) -> String {
    let path = directory.join("hub.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
