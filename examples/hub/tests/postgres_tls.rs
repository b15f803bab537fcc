//! TLS between the hub and PostgreSQL: the certificate is always verified.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use support::hub::program;
use support::postgres::{Cluster, Database, Durability};
use support::{DataDir, PATIENCE, poll};

const NAME: &str = "db.test";

#[test]
fn a_server_is_spoken_to_over_tls_when_its_certificate_is_verified_and_never_else() {
    let Some(scene) = Scene::new() else {
        return;
    };
    let (good, other) = (&scene.authority, &scene.stranger);
    for mode in ["require", "verify-full"] {
        let asked = format!("sslmode={mode}&channel_binding=require");
        scene.accepted(NAME, &format!("{asked}&sslrootcert={}", good.display()));
    }
    // A named authority alone asks for TLS as well.
    let encoded = good.display().to_string().replace('/', "%2F");
    scene.accepted(NAME, &format!("sslrootcert={encoded}"));

    let of = |file: &Path| format!("sslmode=require&sslrootcert={}", file.display());
    scene.refused(NAME, &of(other), "UnknownIssuer");
    scene.refused("elsewhere.test", &of(good), "not valid for name");
    // Not one that browsers trust.
    scene.refused(NAME, "sslmode=verify-full", "UnknownIssuer");
    scene.refused(
        NAME,
        &of(&scene.data.path().join("absent.pem")),
        "absent.pem",
    );
    let empty = scene.data.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    scene.refused(NAME, &of(&empty), "expected certificates");
    // The server takes nobody without TLS, which proves that the others spoke it.
    scene.refused(NAME, "sslmode=disable", "pg_hba.conf");
    scene.refused(NAME, "sslmode=prefer", "pg_hba.conf");
}

#[test]
fn a_server_without_tls_is_not_spoken_to_where_tls_was_asked_for() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.set("ssl", "off");
    let asked = format!("sslmode=require&sslrootcert={}", scene.authority.display());
    scene.refused(NAME, &asked, "server does not support TLS");
}

/// A server with a certificate for one name, on an address of its own.
struct Scene {
    _cluster: Cluster,
    database: Database,
    address: String,
    data: DataDir,
    authority: PathBuf,
    stranger: PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        let address = address_of_this_process();
        let listen = format!("-c listen_addresses={address}");
        let cluster = Cluster::start_with(Durability::Careless, &listen)?;
        let database = cluster.database();
        let data = DataDir::new();
        let (trusted, issuer) = authority("one");
        let (untrusted, _) = authority("another");
        let write = |name: &str, pem: &str| {
            let path = data.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let scene = Self {
            authority: write("authority.pem", &trusted),
            stranger: write("stranger.pem", &untrusted),
            _cluster: cluster,
            database,
            address,
            data,
        };
        scene.put("server.crt", &certificate);
        scene.put("server.key", &key.serialize_pem());
        scene.put("pg_hba.conf", HBA);
        scene.set("ssl", "on");
        scene
            .database
            .run("ALTER ROLE postgres PASSWORD 's3cret'; SELECT pg_reload_conf()");
        Some(scene)
    }

    /// Writes a file into the directory of the server, as the server.
    fn put(&self, name: &str, text: &str) {
        self.database.run(&format!(
            "COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) \
             TO PROGRAM 'umask 077; cat > {name}'"
        ));
    }

    fn set(&self, name: &str, value: &str) {
        self.database
            .run(&format!("ALTER SYSTEM SET {name} = {value}"));
        self.database.run("SELECT pg_reload_conf()");
        let shown = format!("SHOW {name}");
        poll("the setting holds", PATIENCE, || {
            (self.database.run(&shown) == [value]).then_some(())
        });
    }

    /// Asks the hub to make and migrate a store over the network.
    fn run(&self, name: &str, parameters: &str) -> Output {
        let (address, database) = (&self.address, self.database.name());
        let mut program = program();
        let url =
            format!("postgres://postgres:s3cret@{name}/{database}?hostaddr={address}&{parameters}");
        program.env("DATABASE_URL", url).arg("migrate");
        program.output().unwrap()
    }

    fn accepted(&self, name: &str, parameters: &str) {
        let output = self.run(name, parameters);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{parameters}: {said}");
    }

    fn refused(&self, name: &str, parameters: &str, word: &str) {
        let output = self.run(name, parameters);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{parameters}");
        assert!(said.contains(word), "{parameters}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

/// No other process has this address, and PostgreSQL its usual port.
fn address_of_this_process() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("127.{}.{middle}.{low}", 64 + u32::from(high) % 64 + 64 * n)
}

/// A certificate that signs others, and what it signs them with.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

/// Over the network nobody without TLS, and only with a password.
const HBA: &str = "local all all trust
hostssl all all 127.0.0.0/8 scram-sha-256
";
