//! A browser with cookies, and a program with tokens, in front of the login.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Output, Stdio};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::raw::{Answer, Wire, request};
use super::{DataDir, Hub};

/// The password of everybody in the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A browser: it keeps cookies, and sends forms as one does.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
    /// Headers that a proxy before the hub adds.
    proxy: Vec<(&'static str, String)>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A browser at another address, behind a proxy that the hub trusts.
    pub(crate) fn at(address: &str) -> Self {
        Self {
            proxy: vec![("X-Forwarded-For", address.to_owned())],
            ..Self::default()
        }
    }

    /// The same, where the proxy ends TLS.
    pub(crate) fn over_https(mut self) -> Self {
        self.proxy.push(("X-Forwarded-Proto", "https".to_owned()));
        self
    }

    pub(crate) fn get(&mut self, hub: &Hub, path: &str) -> Answer {
        self.send(hub, "GET", path, &[], b"")
    }

    pub(crate) fn post(
        &mut self,
        hub: &Hub,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = encoded(fields);
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [&[kind], headers].concat();
        self.send(hub, "POST", path, &headers, body.as_bytes())
    }

    /// Loads the login form, fills it in, and sends it.
    pub(crate) fn log_in(
        &mut self,
        hub: &Hub,
        (org, username, password): (&str, &str, &str),
        next: &str,
    ) -> Answer {
        let form = self.get(hub, "/login");
        assert_eq!(form.status, 200, "{form:?}");
        let csrf = csrf_of(&form.body).to_owned();
        let fields = [
            ("csrf", &*csrf),
            ("next", next),
            ("org", org),
            ("username", username),
            ("password", password),
        ];
        self.post(hub, "/login", &fields, &[])
    }

    /// What the browser would send as its cookies.
    pub(crate) fn cookie_line(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    pub(crate) fn send(
        &mut self,
        hub: &Hub,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let cookies = self.cookie_line();
        let mut all = headers.to_vec();
        if !cookies.is_empty() {
            all.push(("Cookie", &cookies));
        }
        all.extend(
            self.proxy
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let sent = Wire::open(hub.addr).send(&request(method, path, &all, body));
        let answer = sent.end().answer();
        for (name, value) in set_cookies(&answer) {
            if value.is_empty() {
                self.cookies.remove(&name);
            } else {
                self.cookies.insert(name, value);
            }
        }
        answer
    }
}

/// The cookies that an answer sets, without their attributes.
pub(crate) fn set_cookies(answer: &Answer) -> Vec<(String, String)> {
    let lines = answer.headers.iter();
    let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pair = |line: &str| {
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(|(_, line)| pair(line)).collect()
}

/// The token of the first form of a page.
pub(crate) fn csrf_of(page: &str) -> &str {
    let (_, rest) = page
        .split_once("name=\"csrf\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap()
}

/// A form as a browser encodes it.
pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let bytes = text.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    };
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Sends a call with a JSON body.
pub(crate) fn post_json(hub: &Hub, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let sent = Wire::open(hub.addr).send(&request("POST", path, &headers, body.as_bytes()));
    sent.end().answer()
}

/// Sends a call that reads.
pub(crate) fn get_with(hub: &Hub, path: &str, headers: &[(&str, &str)]) -> Answer {
    let sent = Wire::open(hub.addr).send(&request("GET", path, headers, b""));
    sent.end().answer()
}

/// Sends a call that reads with an access token or API token.
pub(crate) fn get_as(hub: &Hub, path: &str, token: &str) -> Answer {
    get_with(hub, path, &[("Authorization", &format!("Bearer {token}"))])
}

pub(crate) fn login_body(org: &str, username: &str, password: &str) -> String {
    json!({"org": org, "username": username, "password": password}).to_string()
}

pub(crate) fn api_login(hub: &Hub, org: &str, username: &str, password: &str) -> Answer {
    let body = login_body(org, username, password);
    post_json(hub, "/auth/api/login", &[], &body)
}

/// The two tokens of a program.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }

    pub(crate) fn refreshed(&self, hub: &Hub) -> Answer {
        let body = json!({"refresh_token": self.refresh}).to_string();
        post_json(hub, "/auth/api/refresh", &[], &body)
    }
}

/// A hub with an organisation, and an administrator and a reader in it who have passwords.
pub(crate) struct Scene {
    pub(crate) data: DataDir,
    pub(crate) hub: Hub,
}

pub(crate) const ADMIN: &str = "admin@acme.example";
pub(crate) const READER: &str = "reader@acme.example";

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let data = DataDir::new();
        let lifted = [("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")];
        let hub = Hub::start_with(&data, &[&lifted[..], settings].concat());
        let fields = [
            ("organisation", "acme"),
            ("email", ADMIN),
            ("password", PASSWORD),
        ];
        let mut first = Browser::new();
        let entered = first.post(&hub, hub.set_up_path(), &fields, &[]);
        assert_eq!(entered.status, 303, "{entered:?}");
        let scene = Self { data, hub };
        assert_eq!(scene.add(READER, "read_only").status, 201);
        scene
    }

    /// Adds a person as the administrator does.
    pub(crate) fn add(&self, username: &str, role: &str) -> Answer {
        let body = json!({"username": username, "password": PASSWORD, "role": role});
        self.post_as(&self.pair_of(ADMIN).access, "/v1/admin/users", &body)
    }

    pub(crate) fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        post_json(&self.hub, path, &headers, &body.to_string())
    }

    /// Logs a person in as a program does.
    pub(crate) fn pair_of(&self, username: &str) -> Pair {
        Pair::of(&api_login(&self.hub, "acme", username, PASSWORD))
    }
}

/// Adds a person with a password on the command line.
pub(crate) fn add_with_password(
    data: &DataDir,
    org: &str,
    (email, role): (&str, &str),
    password: &str,
) -> Output {
    let mut child = data
        .program()
        .args([
            "user", "add", "--org", org, "--email", email, "--role", role,
        ])
        .args(["--password-stdin", "--json", "--data"])
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses the name reads no password.
    let _ = writeln!(child.stdin.take().unwrap(), "{password}");
    child.wait_with_output().unwrap()
}

/// An API token as it was printed once.
pub(crate) struct ApiToken {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// Makes an API token of somebody on the command line.
pub(crate) fn api_token(data: &DataDir, org: &str, email: &str, scope: &str) -> ApiToken {
    let made = data.json(&[
        "token", "create", "--org", org, "--user", email, "--scope", scope, "--name", "ci",
    ]);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    ApiToken {
        id: text("token_id"),
        text: text("token"),
    }
}

/// The statement that disables a person as the store does: what they hold is void.
pub(crate) fn disabled(username: &str) -> String {
    format!(
        "UPDATE users SET disabled_at = created_at, credentials_epoch = credentials_epoch + 1 \
         WHERE email = '{username}'"
    )
}

/// Makes a set-password link for a person, good for as long as the tests run, and returns its path.
pub(crate) fn password_link(data: &DataDir, username: &str) -> String {
    let secret = base64url(&[7; 32]);
    let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let whose = format!("FROM users WHERE email = '{username}'");
    let sql = match data.database() {
        Some(_) => format!(
            "INSERT INTO login_links (tenant_id, digest, purpose, user_id, expires_at) \
             SELECT tenant_id, '\\x{digits}'::bytea, 'set_password', id, 'infinity'::timestamptz \
             {whose}"
        ),
        None => format!(
            "INSERT INTO login_links (digest, purpose, user_id, expires_at) \
             SELECT x'{digits}', 'set_password', id, '9000-01-01T00:00:00.000000Z' {whose}"
        ),
    };
    super::store::change(data, &sql);
    format!("/password/{secret}")
}

/// Signs a token as somebody who knows the secret would.
pub(crate) fn minted(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    let mac = mac.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", base64url(&mac))
}

/// The claims of a token, unverified.
pub(crate) fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(claims)).unwrap()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn base64url(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1))
        .collect();
    let sign = |six: &[u8]| {
        let value = (0..6).fold(0, |value, i| value << 1 | six.get(i).copied().unwrap_or(0));
        char::from(ALPHABET[usize::from(value)])
    };
    bits.chunks(6).map(sign).collect()
}

fn from_base64url(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text
        .bytes()
        .map(|sign| ALPHABET.iter().position(|known| *known == sign).unwrap())
        .flat_map(|value| (0..6).rev().map(move |i| u8::from(value >> i & 1 == 1)))
        .collect();
    let byte = |eight: &[u8]| eight.iter().fold(0, |value, bit| value << 1 | bit);
    bits.chunks_exact(8).map(byte).collect()
}
