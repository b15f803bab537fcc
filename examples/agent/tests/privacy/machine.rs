//! A machine with secrets where collectors and programs come by, and names that may not be told as
//! they are.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::hub::TempDir;

/// A text that stands in one place only.
pub(crate) struct Secret {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// Files below a root of their own, and three running programs.
pub(crate) struct Machine {
    root: TempDir,
    watched: String,
    secrets: Vec<Secret>,
    programs: Vec<Child>,
}

impl Machine {
    pub(crate) fn plant() -> Self {
        let root = TempDir::new();
        let mut machine = Self {
            watched: format!("seen-{:08x}", getrandom::u32().unwrap()),
            root,
            secrets: Vec::new(),
            programs: Vec::new(),
        };
        symlink("/proc", machine.path("proc")).unwrap();
        for (path, content) in FILES {
            let secret = machine.secret(path);
            machine.write(path, &content.replace("SECRET", &secret));
        }
        for name in UNTELLABLE {
            machine.write(&format!("etc/cron.d/{name}"), "");
            machine.write(&format!("etc/systemd/system/{name}.service"), "");
        }
        machine.describe_user();
        let watched = machine.watched.clone();
        for name in [watched.as_str(), UNTELLABLE[0], UNTELLABLE[1]] {
            machine.start(name);
        }
        machine
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The name of a running program, which may be told.
    pub(crate) fn watched(&self) -> &str {
        &self.watched
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let copy = |secret: &Secret| Secret {
            place: secret.place.clone(),
            text: secret.text.clone(),
        };
        self.secrets.iter().map(copy).collect()
    }

    /// Grows the authentication log by what someone types who takes the name for the password.
    pub(crate) fn let_someone_in_and_refuse_another(&self) {
        let of = |place: &str| {
            let mut secrets = self.secrets.iter();
            &secrets.find(|secret| secret.place == place).unwrap().text
        };
        let (name, address) = (of(AUTH_LOG), ADDRESS);
        let lines = format!(
            "Nov 21 22:00:01 {name} sshd[7]: Failed password for invalid user {name} from {address} \
             port 4022 ssh2\nNov 21 22:00:02 {name} sshd[8]: Accepted publickey for {name} from \
             {address} port 4022 ssh2: ED25519 SHA256:{name}\n"
        );
        let mut log = OpenOptions::new();
        let mut log = log.append(true).open(self.path(AUTH_LOG)).unwrap();
        log.write_all(lines.as_bytes()).unwrap();
    }

    /// The user of this test has a name like an address, and a secret where the full name stands.
    fn describe_user(&mut self) {
        let user = rustix::process::geteuid().as_raw();
        let secret = self.secret("etc/passwd");
        let line = format!("eve@{DOMAIN}:x:{user}:{user}:{secret}:/home/eve:/bin/sh\n");
        self.write("etc/passwd", &line);
    }

    /// Starts a program under a name, with secrets in its command line, its environment, its
    /// directory, and the name of a file that it has open.
    fn start(&mut self, name: &str) {
        let [argument, variable, directory, open] =
            ["command line", "environment", "directory", "open file"]
                .map(|place| self.secret(&format!("{place} of {name:?}")));
        let directory = self.path(&directory);
        fs::create_dir_all(&directory).unwrap();
        let program = self.path(&format!("bin/{name}"));
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::copy("/bin/cat", &program).unwrap();
        let open = fs::File::create(self.path(&open)).unwrap();
        // It reads its input, which does not come, before it would open its argument.
        let mut command = Command::new(program);
        command
            .args(["-", &argument])
            .env("PASSWORD", variable)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(open)
            .stderr(Stdio::null());
        // A thread that starts a program at this moment has the copy still open in its child.
        let child = loop {
            match command.spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
                started => break started.unwrap(),
            }
        };
        self.programs.push(child);
    }

    fn secret(&mut self, place: &str) -> String {
        let text = format!("{:016x}", getrandom::u64().unwrap());
        self.secrets.push(Secret {
            place: place.to_owned(),
            text: text.clone(),
        });
        text
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Text that may be in nothing that leaves the machine.
pub(crate) const NAMES_NEVER_SENT: [&str; 5] =
    [DOMAIN, ADDRESS, "\u{1b}[31m", "\u{202e}", r"\u001b"];

const DOMAIN: &str = "c.example";
/// Of the range for documentation.
const ADDRESS: &str = "203.0.113.77";
const AUTH_LOG: &str = "var/log/auth.log";
/// Names of files and programs, which have at most 15 bytes: one like an address of a person, one
/// that steers terminals.
const UNTELLABLE: [&str; 2] = ["bob@c.example", "x\u{1b}[31m\u{202e}\n\u{85}y"];
const FILES: [(&str, &str); 17] = [
    (
        AUTH_LOG,
        "Nov 21 21:00:00 host sshd[1]: Failed password for SECRET\n",
    ),
    ("etc/shadow", "root:SECRET:19000:0:99999:7:::\n"),
    ("etc/crontab", "0 3 * * * root dump --password=SECRET\n"),
    (
        "etc/cron.d/nightly",
        "MAILTO=SECRET\n0 3 * * * root dump SECRET\n",
    ),
    ("etc/cron.daily/nightly", "#!/bin/sh\ndump SECRET\n"),
    (
        "etc/systemd/system/leaky.service",
        "[Service]\nEnvironment=PASSWORD=SECRET\n",
    ),
    (
        "etc/systemd/system/leaky.timer",
        "[Timer]\nOnCalendar=daily\n# SECRET\n",
    ),
    ("etc/init.d/leaky", "#!/bin/sh\nSECRET=1\n"),
    ("etc/ufw/ufw.conf", "# SECRET\nENABLED=yes\n"),
    ("run/reboot-required.pkgs", "SECRET\n"),
    ("var/spool/cron/crontabs/eve", "0 3 * * * dump SECRET\n"),
    (
        "home/eve/.config/systemd/user/own.service",
        "[Service]\nExecStart=/bin/SECRET\n",
    ),
    (
        "home/eve/.config/autostart/own.desktop",
        "[Desktop Entry]\nExec=SECRET\n",
    ),
    ("home/eve/.ssh/id_ed25519", "SECRET\n"),
    ("home/eve/.bash_history", "mysql -pSECRET\n"),
    ("home/eve/.netrc", "machine m login l password SECRET\n"),
    ("home/eve/notes", "SECRET\n"),
];
