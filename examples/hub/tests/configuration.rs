//! What an operator says: by flag, environment and file, under two names, and what production refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::process::Output;

use support::DataDir;
use support::raw::get;
use support::{Hub, hub};

const SECRETS: [(&str, &str); 3] = [
    ("EM_JWT_ACCESS_SECRET", "access-4711-access-4711-access-47"),
    ("EM_JWT_REFRESH_SECRET", "refresh-4711-refresh-4711-refresh"),
    ("EM_CSRF_SECRET", "csrf-4711-csrf-4711-csrf-4711-csrf"),
];

const PRODUCTION: [(&str, &str); 4] = [
    ("EM_ENV", "production"),
    ("EM_ENFORCE_HTTPS", "true"),
    ("EM_DEV_ENABLE_DOCS", "false"),
    ("MONSYS_PUBLIC_URL", "https://hub.example.org"),
];

/// Settings that are complete for production, and what a test adds or takes away.
fn production(changes: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let mut settings: Vec<_> = PRODUCTION.iter().chain(&SECRETS).copied().collect();
    for (name, value) in changes {
        settings.retain(|(known, _)| known != name);
        settings.extend(value.map(|value| (*name, value)));
    }
    let owned = settings.into_iter();
    owned
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn run_with(verb: &str, settings: &[(String, String)], arguments: &[&str]) -> Output {
    let data = DataDir::new();
    let mut program = data.program();
    program
        .arg(verb)
        .args(arguments)
        .arg("--data")
        .arg(data.path());
    program.args(["--addr", "127.0.0.1:1"]);
    program.envs(settings.iter().map(|(name, value)| (name, value)));
    program.output().unwrap()
}

/// What a configuration that must be refused says; no secret is in it.
fn refused(settings: &[(String, String)], arguments: &[&str]) -> String {
    for verb in ["run", "check"] {
        let output = run_with(verb, settings, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{verb}: {stderr}");
        for (name, value) in settings {
            let is_secret = name.ends_with("SECRET") || name.ends_with("TOKEN");
            assert!(!is_secret || !stderr.contains(value), "{name}: {stderr}");
        }
        if verb == "check" {
            return stderr;
        }
    }
    unreachable!("check is the last verb")
}

fn checked(settings: &[(String, String)], arguments: &[&str]) -> String {
    let output = run_with("check", settings, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn a16_production_serves_when_everything_is_set() {
    checked(&production(&[]), &[]);
    let data = DataDir::new();
    let settings = production(&[]);
    let settings: Vec<_> = settings
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let hub = Hub::start_with(&data, &settings);
    assert_eq!(get(hub.addr, "/healthz").status, 200);
    assert_eq!(get(hub.addr, "/openapi.json").status, 308);
}

#[test]
fn a16_production_refuses_each_secret_that_is_missing_short_or_equal() {
    let short = "x".repeat(31);
    for (n, (name, value)) in SECRETS.into_iter().enumerate() {
        let ours = name.replace("EM_", "MONSYS_");
        let (other, others_value) = SECRETS[(n + 1) % 3];
        for (change, word) in [(None, "not set"), (Some(short.as_str()), "short")] {
            let said = refused(&production(&[(name, change)]), &[]);
            assert!(said.contains(name) && said.contains(&ours), "{said}");
            assert!(said.contains(word), "{said}");
            assert!(!said.contains(other), "{said}");
        }
        let said = refused(&production(&[(name, Some(others_value))]), &[]);
        assert!(said.contains(name) && said.contains(other), "{said}");
        assert!(said.contains("equal"), "{said}");
        // 32 bytes are enough.
        checked(&production(&[(name, Some(&value[..32]))]), &[]);
    }
    let none = SECRETS.map(|(name, _)| (name, None));
    let said = refused(&production(&none), &[]);
    assert!(
        SECRETS.iter().all(|(name, _)| said.contains(name)),
        "{said}"
    );
}

#[test]
fn a16_production_refuses_docs_and_plain_http_and_an_address_it_does_not_know() {
    for (name, value) in [
        ("EM_DEV_ENABLE_DOCS", Some("true")),
        ("EM_DEV_ENABLE_DOCS", Some("1")),
        ("EM_ENFORCE_HTTPS", Some("false")),
        ("EM_ENFORCE_HTTPS", Some("off")),
        ("MONSYS_PUBLIC_URL", None),
        ("MONSYS_PUBLIC_URL", Some("http://hub.example.org")),
    ] {
        let said = refused(&production(&[(name, value)]), &[]);
        assert!(said.contains(name), "{said}");
    }
    // What is not said is safe.
    checked(
        &production(&[("EM_DEV_ENABLE_DOCS", None), ("EM_ENFORCE_HTTPS", None)]),
        &[],
    );
}

#[test]
fn a16_development_makes_secrets_of_its_own_and_says_so() {
    let said = checked(&[], &[]);
    for (name, _) in SECRETS {
        assert!(said.contains(&format!("({name}) is not set")), "{said}");
    }
}

#[test]
fn a16_a_flag_goes_before_the_environment_and_that_before_the_file() {
    let data = DataDir::new();
    let file = data.path().join("hub.toml");
    std::fs::write(&file, "[serving]\nenvironment = \"production\"\n").unwrap();
    let file = ["--config", file.to_str().unwrap()];
    let none = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    // The file says production, which nothing here is fit for.
    refused(&[], &file);
    checked(&none("MONSYS_ENV", "development"), &file);
    checked(&none("EM_ENV", "development"), &file);
    let flag = [&file[..], &["--environment", "development"]].concat();
    checked(&none("MONSYS_ENV", "production"), &flag);
    checked(&none("EM_ENV", "production"), &flag);
    let flag = [&file[..], &["--environment", "production"]].concat();
    refused(&none("EM_ENV", "development"), &flag);
}

#[test]
fn a16_two_names_may_say_the_same_and_nothing_else() {
    for (name, one, other) in [
        ("ENV", "development", "staging"),
        ("ENFORCE_HTTPS", "true", "false"),
        ("DEV_ENABLE_DOCS", "true", "false"),
        (
            "JWT_ACCESS_SECRET",
            "one-secret-of-somebody",
            "another-secret-of-somebody",
        ),
        (
            "JWT_REFRESH_SECRET",
            "one-secret-of-somebody",
            "another-secret-of-somebody",
        ),
        (
            "CSRF_SECRET",
            "one-secret-of-somebody",
            "another-secret-of-somebody",
        ),
        (
            "METRICS_TOKEN",
            "one-secret-of-somebody",
            "another-secret-of-somebody",
        ),
    ] {
        let settings = |other: &str| {
            let (ours, theirs) = (format!("MONSYS_{name}"), format!("EM_{name}"));
            vec![(ours, one.to_owned()), (theirs, other.to_owned())]
        };
        checked(&settings(one), &[]);
        let said = refused(&settings(other), &[]);
        assert!(said.contains(&format!("MONSYS_{name}")), "{said}");
        assert!(said.contains(&format!(" EM_{name}")), "{said}");
    }
}

#[test]
fn a16_a_secret_may_be_in_a_file() {
    let data = DataDir::new();
    let mut settings = production(&SECRETS.map(|(name, _)| (name, None)));
    for (name, value) in SECRETS {
        let file = data.path().join(name);
        std::fs::write(&file, format!("{value}\n")).unwrap();
        settings.push((format!("{name}_FILE"), file.display().to_string()));
    }
    checked(&settings, &[]);
    let (name, value) = SECRETS[0];
    // The same beside the file is the same; something else is a mistake.
    checked(
        &[&settings[..], &[(name.to_owned(), value.to_owned())]].concat(),
        &[],
    );
    let other = [(name.to_owned(), "y".repeat(40))];
    let said = refused(&[&settings[..], &other].concat(), &[]);
    assert!(said.contains(&format!("{name} and {name}_FILE")), "{said}");
    std::fs::remove_file(data.path().join(name)).unwrap();
    let said = refused(&settings, &[]);
    assert!(said.contains(&format!("{name}_FILE")), "{said}");
}

#[test]
fn a16_an_empty_variable_is_none() {
    let empty = [
        "EM_ENV",
        "MONSYS_ENV",
        "EM_ENFORCE_HTTPS",
        "MONSYS_ADDRESS_RATE",
        "EM_CSRF_SECRET",
    ];
    let empty = empty.map(|name| (name.to_owned(), String::new()));
    checked(&empty, &[]);
}

#[test]
fn a16_redis_is_ignored_with_one_warning() {
    let settings = [(
        "REDIS_URL".to_owned(),
        "redis://:pass-4711@cache".to_owned(),
    )];
    let said = checked(&settings, &[]);
    assert_eq!(said.matches("REDIS_URL").count(), 1, "{said}");
    assert!(!said.contains("pass-4711"), "{said}");
}

#[test]
fn a16_a_variable_that_means_nothing_is_told_with_the_nearest_that_does() {
    let settings = [("MONSYS_ENFORCE_HTTP".to_owned(), "true".to_owned())];
    let said = checked(&settings, &[]);
    assert!(
        said.contains("did you mean MONSYS_ENFORCE_HTTPS?"),
        "{said}"
    );
}

#[test]
fn a16_half_a_certificate_is_refused() {
    let said = refused(&[("MONSYS_TLS_CERT".to_owned(), "a.pem".to_owned())], &[]);
    assert!(said.contains("MONSYS_TLS_KEY"), "{said}");
    let said = refused(&[("MONSYS_TLS_KEY".to_owned(), "a.pem".to_owned())], &[]);
    assert!(said.contains("MONSYS_TLS_CERT"), "{said}");
}

#[test]
fn a16_what_is_no_network_or_address_is_refused_by_the_name_of_its_flag() {
    for (flag, value) in [
        ("--trusted-proxies", "10.0.0.0/99"),
        ("--public-url", "hub.example.org"),
        ("--environment", "live"),
    ] {
        let output = hub::program()
            .args(["check", flag, value])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(flag), "{stderr}");
    }
}
