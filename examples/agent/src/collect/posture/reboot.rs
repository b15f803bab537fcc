//! Whether something installed needs a restart of the machine to take effect.
//!
//! What: `/run/reboot-required`, which packages of Debian and Ubuntu write after an update of the
//! kernel or the C library. Its absence says "no" only where something that writes it is installed;
//! elsewhere it is unknown. What not: services that run old libraries. Cost: a few looks whether
//! files are there.

use monsys_signals::check::Answer;

use crate::collect::root::Root;
use crate::collect::small_file::is_there;

pub(super) fn look(root: &Root) -> Answer {
    let any = |paths: &[&str]| -> std::io::Result<bool> {
        for path in paths {
            if is_there(root, path)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match (any(&MARKS), any(&WRITERS)) {
        (Ok(true), _) => Answer::True,
        (Ok(false), Ok(true)) => Answer::False,
        (Ok(false), Ok(false)) => {
            Answer::Unknown("nothing on this machine marks that it is needed")
        }
        (Err(_), _) | (_, Err(_)) => Answer::Unknown("the mark cannot be read"),
    }
}

const MARKS: [&str; 2] = ["run/reboot-required", "var/run/reboot-required"];
/// Of update-notifier-common, unattended-upgrades and needrestart.
const WRITERS: [&str; 4] = [
    "usr/share/update-notifier/notify-reboot-required",
    "etc/kernel/postinst.d/update-notifier",
    "etc/kernel/postinst.d/unattended-upgrades",
    "etc/needrestart/needrestart.conf",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn no_mark_says_no_only_where_something_writes_marks() {
        let tree = Tree::new();
        assert!(matches!(look(&tree.root()), Answer::Unknown(_)));
        tree.file("etc/kernel/postinst.d/unattended-upgrades", "");
        assert_eq!(look(&tree.root()), Answer::False);
        tree.file("run/reboot-required", "*** System restart required ***\n");
        assert_eq!(look(&tree.root()), Answer::True);
    }
}
