//! Which paths lie on a file system that can hang, from `/proc/mounts`.
//!
//! A directory of a network file system whose server is gone stops whoever lists it, for as long as
//! the server is gone. An agent must go on, so it does not look there. What not: sizes. Cost: one
//! line a mount, one comparison a mount and question.

use super::disk::unescape;

/// What is mounted where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts {
    /// Mount point and whether it is local, in the order of the kernel.
    points: Vec<(String, bool)>,
}

impl Mounts {
    /// Reads `/proc/mounts`; lines in another form are left out.
    pub fn parse(text: &str) -> Self {
        let point = |line: &str| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            Some((unescape(point), is_local(kind)))
        };
        Self {
            points: text.lines().filter_map(point).collect(),
        }
    }

    /// Tells whether a path lies on a file system of this machine. Without any mounts it does.
    pub fn is_local(&self, path: &str) -> bool {
        let holds = |point: &str| {
            path.strip_prefix(point)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || point == "/")
        };
        let nearest = self
            .points
            .iter()
            .filter(|(point, _)| holds(point))
            // Of two mounts at one point the later one is seen, which is what max_by_key returns.
            .max_by_key(|(point, _)| point.len());
        nearest.is_none_or(|(_, is_local)| *is_local)
    }
}

/// Kinds that wait for another machine, or for a program that may wait for one.
fn is_local(kind: &str) -> bool {
    let is_remote = kind.starts_with("nfs") || kind.starts_with("fuse") || REMOTE.contains(&kind);
    !is_remote
}

const REMOTE: [&str; 12] = [
    "9p", "afs", "autofs", "ceph", "cifs", "coda", "gfs2", "lustre", "ncpfs", "ocfs2", "smb3",
    "smbfs",
];

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "/dev/vda / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n\
        auto.home /home autofs rw 0 0\nserver:/home/bob /home/bob nfs4 rw 0 0\n\
        /dev/vdb /home/alice ext4 rw 0 0\n/dev/vdc /srv/my\\040disk ext4 rw 0 0\n\
        sshfs /srv/my\\040disk fuse.sshfs rw 0 0\nshort\n";

    #[test]
    fn the_nearest_mount_decides_and_the_later_one_hides_the_former() {
        let mounts = Mounts::parse(MOUNTS);
        for local in [
            "/",
            "/root",
            "/home/alice",
            "/home/alice/x",
            "/homes",
            "/srv/my",
        ] {
            assert!(mounts.is_local(local), "{local}");
        }
        for remote in [
            "/home",
            "/home/carol",
            "/home/bob/.config",
            "/home/alicex",
            "/srv/my disk/x",
        ] {
            assert!(!mounts.is_local(remote), "{remote}");
        }
        assert!(Mounts::default().is_local("/home/bob"));
    }
}
