//! Whether a firewall is set to run.
//!
//! What: the state of ufw (its setting `ENABLED`) and of firewalld (whether its service runs). True
//! when one of them is on. False when one is installed, none is on, and no service that loads rules
//! by itself is set to start. Everything else is unknown, because rules can be read by root only:
//! also where `nftables.service` is set to start, whose rules may be empty. What not: the rules, and
//! whether they let everything in; rules that a program loads by itself, as Docker does, are no
//! firewall. Cost: one small file and a few looks whether files are there.

use std::io;

use monsys_signals::check::Answer;

use crate::collect::root::Root;
use crate::collect::small_file::{is_there, read_text};

/// Reads the settings of ufw; whether it is on, `None` when they do not say.
pub fn parse_ufw(text: &str) -> Option<bool> {
    let settings = text.lines().filter_map(|line| line.trim().split_once('='));
    // A shell reads the file, for which the last word counts.
    let last = settings
        .filter(|(key, _)| *key == "ENABLED")
        .map(|(_, value)| value.trim_matches(['"', '\'']))
        .next_back()?;
    Some(last.eq_ignore_ascii_case("yes"))
}

pub(super) fn look(root: &Root) -> Answer {
    let ufw = match read_text(root, "etc/ufw/ufw.conf") {
        Ok(text) => parse_ufw(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return Answer::Unknown("the settings of ufw cannot be read"),
    };
    let firewalld = firewalld(root);
    if ufw == Some(true) || firewalld == Some(true) {
        return Answer::True;
    }
    let any = |paths: &[&str]| {
        paths
            .iter()
            .any(|path| is_there(root, path).unwrap_or(true))
    };
    if any(&RULE_LOADERS) {
        return Answer::Unknown("only root can read the rules of nftables and iptables");
    }
    match (ufw, firewalld) {
        (Some(_), _) | (_, Some(_)) => Answer::False,
        (None, None) => Answer::Unknown("neither ufw nor firewalld is installed"),
    }
}

/// Whether firewalld runs; `None` when it is not installed or that cannot be told.
fn firewalld(root: &Root) -> Option<bool> {
    let is = |path: &str| is_there(root, path).unwrap_or(false);
    // The kernel keeps a group of processes for each service that runs.
    if FIREWALLD_RUNS.iter().any(|path| is(path)) {
        return Some(true);
    }
    let is_installed = FIREWALLD_UNITS.iter().any(|path| is(path));
    (is_installed && is("sys/fs/cgroup/system.slice")).then_some(false)
}

const FIREWALLD_RUNS: [&str; 2] = [
    "sys/fs/cgroup/system.slice/firewalld.service",
    "sys/fs/cgroup/systemd/system.slice/firewalld.service",
];
const FIREWALLD_UNITS: [&str; 2] = [
    "usr/lib/systemd/system/firewalld.service",
    "lib/systemd/system/firewalld.service",
];
/// What loads rules at the start of the machine; whether there are any stands in files of root.
const RULE_LOADERS: [&str; 8] = [
    "etc/systemd/system/sysinit.target.wants/nftables.service",
    "etc/systemd/system/multi-user.target.wants/nftables.service",
    "etc/systemd/system/multi-user.target.wants/netfilter-persistent.service",
    "etc/systemd/system/multi-user.target.wants/iptables.service",
    "etc/systemd/system/multi-user.target.wants/shorewall.service",
    "etc/runlevels/default/nftables",
    "etc/runlevels/default/iptables",
    "etc/runlevels/boot/iptables",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    /// As Debian and Ubuntu ship it.
    const UFW_CONF: &str = "# /etc/ufw/ufw.conf\n#\n\n# Set to yes to start on boot. If setting this remotely, be sure to add a rule\n\
        # to allow your remote connection before starting ufw. Eg: 'ufw allow 22/tcp'\nENABLED=no\n\n\
        # Please use the 'ufw' command to set the loglevel. Eg: 'ufw logging medium'.\n\
        # See 'man ufw' for details.\nLOGLEVEL=low\n";

    fn ufw(tree: &Tree, value: &str) {
        tree.file("etc/ufw/ufw.conf", UFW_CONF.replace("=no", value));
    }

    fn is_unknown(answer: Answer) -> bool {
        matches!(answer, Answer::Unknown(_))
    }

    #[test]
    fn ufw_is_on_when_its_setting_says_so() {
        for (text, expected) in [
            (UFW_CONF, Some(false)),
            ("ENABLED=yes", Some(true)),
            ("ENABLED=\"YES\"", Some(true)),
            ("ENABLED=yes\nENABLED=no", Some(false)),
            ("#ENABLED=yes", None),
            ("ENABLED", None),
            ("", None),
        ] {
            assert_eq!(parse_ufw(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_installed_firewall_is_on_or_off() {
        let tree = Tree::new();
        assert!(is_unknown(look(&tree.root())), "none is installed");
        ufw(&tree, "=yes");
        assert_eq!(look(&tree.root()), Answer::True);
        ufw(&tree, "=no");
        assert_eq!(look(&tree.root()), Answer::False);
        tree.dir("sys/fs/cgroup/system.slice/firewalld.service");
        assert_eq!(look(&tree.root()), Answer::True, "the other one runs");
    }

    #[test]
    fn firewalld_is_off_when_it_is_installed_and_does_not_run() {
        let tree = Tree::new();
        tree.file("usr/lib/systemd/system/firewalld.service", "");
        assert!(is_unknown(look(&tree.root())), "no groups can be read");
        tree.dir("sys/fs/cgroup/system.slice");
        assert_eq!(look(&tree.root()), Answer::False);
    }

    #[test]
    fn rules_that_only_root_can_read_make_it_unknown_and_not_off() {
        let tree = Tree::new();
        ufw(&tree, "=no");
        tree.file(
            "etc/systemd/system/sysinit.target.wants/nftables.service",
            "",
        );
        assert!(is_unknown(look(&tree.root())));
        ufw(&tree, "=yes");
        assert_eq!(look(&tree.root()), Answer::True);
    }
}
