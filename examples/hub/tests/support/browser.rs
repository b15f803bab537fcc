//! A real browser, driven over WebDriver (W3C) by plain HTTP.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{DataDir, Hub, PATIENCE, poll};

/// The member under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys, as WebDriver writes them (W3C WebDriver, keyboard actions).
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const SPACE: &str = "\u{e00d}";
/// Steps after which an element counts as out of reach.
const TABS_MAX: usize = 200;

/// A headless browser with a profile of its own, ended with its test.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: ureq::Agent,
    profile: PathBuf,
}

impl Browser {
    /// Starts a browser. Without one on this machine it says so in one loud line and returns
    /// nothing, unless `MONSYS_REQUIRE_BROWSER=1` asks for a failure.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let Some(mut driver) = start_driver() else {
            assert_ne!(
                std::env::var("MONSYS_REQUIRE_BROWSER").as_deref(),
                Ok("1"),
                "no chromedriver: install the packages chromium and chromium-driver"
            );
            let text = "NOT TESTED IN A BROWSER: install chromium and chromium-driver to test";
            // Past the test harness, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "{text} {name}");
            return None;
        };
        let port = port_of(&mut driver);
        let profile = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("browser-{name}-{}", std::process::id()));
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            http,
            profile,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", browser.profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.ask("POST", "", &wanted);
        let id = made["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {made}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// Logs in as an administrator of `acme` who is added for it.
    pub(crate) fn log_in(&self, data: &DataDir, hub: &Hub) {
        let email = "admin@acme.example";
        let arguments = ["user", "add", "--org", "acme", "--email", email];
        let added = data.json(
            &[
                &arguments[..],
                &["--login-link", "--public-url", &hub.url("")],
            ]
            .concat(),
        );
        self.open(added["login_link"].as_str().unwrap());
        self.wait_for(email, PATIENCE);
    }

    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url}));
    }

    /// Makes the person one who prefers `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        let parameters = json!({"features": [feature]});
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": parameters});
        self.ask("POST", "/goog/cdp/execute", &command);
    }

    /// Makes the browser one in which pages run no script; what a test runs goes on.
    pub(crate) fn without_scripts(&self) {
        let command = "Emulation.setScriptExecutionDisabled";
        let command = json!({"cmd": command, "params": {"value": true}});
        self.ask("POST", "/goog/cdp/execute", &command);
    }

    pub(crate) fn title(&self) -> String {
        self.ask("GET", "/title", &Value::Null)
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The visible text of the page.
    pub(crate) fn text(&self) -> String {
        let body = self.run("return document.body.innerText");
        body.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// Runs a script that returns a promise, and returns what that becomes.
    pub(crate) fn run_to_end(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; \
             (async () => {{ {script} }})().then(done, error => done(String(error)))"
        );
        let body = json!({"script": script, "args": []});
        self.ask("POST", "/execute/async", &body)
    }

    /// Makes the window so many pixels wide and high.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height});
        self.ask("POST", "/window/rect", &size);
    }

    /// Clicks the first element that a CSS selector finds.
    pub(crate) fn click(&self, selector: &str) {
        let found = self.ask(
            "POST",
            "/element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = found[ELEMENT]
            .as_str()
            .unwrap_or_else(|| panic!("no {selector}: {found}"));
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Presses the pointer at one place of the window and lets go at another.
    pub(crate) fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        let go = |(x, y): (i64, i64), ms: u32| json!({"type": "pointerMove", "duration": ms, "x": x, "y": y});
        let (down, up) = (
            json!({"type": "pointerDown", "button": 0}),
            json!({"type": "pointerUp", "button": 0}),
        );
        let actions = [go(from, 0), down, go(to, 100), up];
        let pointer = json!({
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
            "actions": actions,
        });
        let done = self.ask("POST", "/actions", &json!({"actions": [pointer]}));
        assert_eq!(done, Value::Null);
    }

    /// Types into whatever has the focus; [`TAB`] and [`ENTER`] are keys as well.
    pub(crate) fn press(&self, keys: &str) {
        let active = self.ask("GET", "/element/active", &Value::Null);
        let id = active[ELEMENT]
            .as_str()
            .unwrap_or_else(|| panic!("nothing has the focus: {active}"));
        let path = format!("/element/{id}/value");
        let pressed = self.ask("POST", &path, &json!({"text": keys}));
        assert_eq!(pressed, Value::Null, "{keys:?}");
    }

    /// Goes through the page by the tabulator until the element that a CSS selector finds first has
    /// the focus.
    pub(crate) fn tab_to(&self, selector: &str) {
        let is_there = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..TABS_MAX {
            if self.run(&is_there) == true {
                return;
            }
            self.press(TAB);
        }
        panic!("{selector} is not reached in {TABS_MAX} steps");
    }

    /// The value of a cookie, those that scripts do not see included.
    pub(crate) fn cookie(&self, name: &str) -> String {
        let cookie = self.ask("GET", &format!("/cookie/{name}"), &Value::Null);
        let value = cookie["value"].as_str();
        value
            .unwrap_or_else(|| panic!("no {name}: {cookie}"))
            .to_owned()
    }

    /// Waits until a script returns true.
    pub(crate) fn wait_until(&self, condition: &str, within: Duration) {
        poll(condition, within, || {
            (self.run(&format!("return {condition}")) == true).then_some(())
        });
    }

    /// What the page wrote to its console, errors of its policy included.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Waits until the page shows a text.
    pub(crate) fn wait_for(&self, text: &str, within: Duration) {
        poll(&format!("the page shows {text:?}"), within, || {
            self.text().contains(text).then_some(())
        });
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let answer = match method {
            "GET" => self.http.get(&url).call(),
            "DELETE" => self.http.delete(&url).call(),
            _ => self
                .http
                .post(&url)
                .header("content-type", "application/json")
                .send(body.to_string()),
        };
        let text = answer.unwrap().body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ask("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn start_driver() -> Option<Child> {
    let mut command = Command::new("chromedriver");
    command
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().ok()
}

/// Reads the port that the driver chose from what it says.
fn port_of(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let said = "was started successfully on port ";
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.contains(said))
        .unwrap();
    let (_, port) = line.split_once(said).unwrap();
    port.trim_end_matches('.').parse().unwrap()
}
