//! Mounted file systems with blocks of their own, from `/proc/mounts` and `statvfs`.
//!
//! A file system counts when its device stands under `/dev` (or it is ZFS, whose devices are named
//! pools) and it can be written at all: images such as squashfs are always full. A device mounted
//! more than once is told once, by its first mount. What not: network file systems, which can hang,
//! and pseudo file systems. Cost: one `statvfs` a device.

use std::collections::BTreeSet;

use monsys_core::limit;
use monsys_core::sample::Disk;

use super::root::Root;
#[cfg(unix)]
use super::{clean_name, count};

/// Reads mount points of real file systems, in the order of the kernel, one per device.
pub fn parse(text: &str) -> Vec<String> {
    let mut devices = BTreeSet::new();
    let mut mounts = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(mount), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_full = mounts.len() >= limit::DEVICES_PER_SAMPLE_MAX;
        if is_real(device, kind) && !is_full && devices.insert(device) {
            mounts.push(unescape(mount));
        }
    }
    mounts
}

/// Asks for the sizes of what is mounted below a root; a mount point that does not answer is left
/// out.
pub fn measure(root: &Root, mounts: &[String]) -> Vec<Disk> {
    mounts
        .iter()
        .filter_map(|mount| measure_one(root, mount))
        .collect()
}

/// Only Unix tells sizes by mount point.
#[cfg(not(unix))]
fn measure_one(_: &Root, _: &str) -> Option<Disk> {
    None
}

#[cfg(unix)]
fn measure_one(root: &Root, mount: &str) -> Option<Disk> {
    let stat = rustix::fs::statvfs(root.path(mount)).ok()?;
    let used = stat.f_blocks.checked_sub(stat.f_bfree)?;
    Some(Disk {
        mount: clean_name(mount, limit::MOUNT_BYTES_MAX)?,
        total_bytes: count(stat.f_blocks.checked_mul(stat.f_frsize)?)?,
        used_bytes: count(used.checked_mul(stat.f_frsize)?)?,
    })
}

fn is_real(device: &str, kind: &str) -> bool {
    kind == "zfs" || (device.starts_with("/dev/") && !IMAGES.contains(&kind))
}

/// Undoes the octal escapes of space, tab, newline and backslash (proc(5)).
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let digits = after
            .get(..3)
            .filter(|d| d.bytes().all(|b| matches!(b, b'0'..=b'7')));
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte @ ..0x80) => {
                out.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            Some(0x80..) | None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// File systems that are read from an image and never written.
const IMAGES: [&str; 6] = ["squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs"];

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = include_str!("../../tests/fixtures/mounts");

    #[test]
    fn a_captured_file_gives_real_disks_once_each() {
        assert_eq!(parse(MOUNTS), ["/", "/boot/efi", "/media/my disk", "/tank"]);
    }

    #[test]
    fn escapes_are_undone_and_others_left_alone() {
        assert_eq!(unescape(r"a\040b\134c\011"), "a b\\c\t");
        assert_eq!(unescape(r"\0\999\400\"), r"\0\999\400\");
    }

    #[test]
    fn short_lines_are_skipped() {
        assert_eq!(parse("\n/dev/sda\n/dev/sda /\n"), Vec::<String>::new());
    }

    #[test]
    fn the_root_of_this_machine_has_a_size() {
        let disks = measure(
            &Root::system(),
            &["/".to_owned(), "/does/not/exist".to_owned()],
        );
        let [root] = disks.as_slice() else {
            panic!("expected one disk, not {disks:?}")
        };
        assert!(root.total_bytes >= root.used_bytes);
    }
}
