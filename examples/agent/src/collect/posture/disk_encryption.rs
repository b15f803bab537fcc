//! Whether the disks under the data are encrypted by the operating system.
//!
//! What: the file systems at [`PLACES`] are followed from `/proc/self/mountinfo` through
//! `/sys/dev/block` down to the disks. One is encrypted when every way down meets a dm-crypt device,
//! whose identifier cryptsetup begins with `CRYPT-`; LVM over LUKS is, LUKS on one of two disks is not. What cannot
//! be seen from here is unknown and not false: the disk of a virtual machine (its host may encrypt),
//! a file system without a block device (ZFS, the network, a container's). What not: encryption in
//! the drive, by directory (fscrypt), or of swap; a machine with only those is told as not
//! encrypted. Cost: one file, and three for each device.

use std::collections::BTreeSet;
use std::fs;

use monsys_signals::check::Answer;

use crate::collect::root::Root;
use crate::collect::small_file::read_text;

/// Where people and programs keep data, when it is a file system of its own.
pub const PLACES: [&str; 6] = ["/", "/home", "/opt", "/root", "/srv", "/var"];

/// What a place lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// A block device, by its numbers as the kernel writes them: `8:1`.
    Numbers(String),
    /// A block device of a file system with numbers of its own, by name: `sda1`.
    Named(String),
    /// Something else.
    NoDevice,
}

/// Reads `mountinfo`; what each of [`PLACES`] lies on that is a file system of its own.
///
/// Where one mount hides another, the one with a device counts: a service's own view of `/home` is
/// empty, and the data are there all the same.
pub fn parse(text: &str) -> Vec<Mounted> {
    let found = |place: &&str| {
        let of_place = text
            .lines()
            .filter_map(parse_line)
            .filter(|(mount, _)| mount == place);
        let mut mounts = of_place.map(|(_, mounted)| mounted);
        let first = mounts.next()?;
        let device = [first.clone()].into_iter().chain(mounts);
        Some(
            { device }
                .find(|mounted| *mounted != Mounted::NoDevice)
                .unwrap_or(first),
        )
    };
    PLACES.iter().filter_map(found).collect()
}

/// Follows every place down to its disks.
pub(super) fn look(root: &Root) -> Answer {
    let Ok(text) = read_text(root, "proc/self/mountinfo") else {
        return Answer::Unknown("mounted file systems cannot be read");
    };
    let answers: Vec<Answer> = parse(&text)
        .iter()
        .enumerate()
        .map(|(at, mounted)| match mounted {
            Mounted::Numbers(numbers) => of_device(root, &format!("sys/dev/block/{numbers}"), 0),
            Mounted::Named(name) => of_device(root, &mapped(root, name), 0),
            // A second place without a device holds no data of this machine.
            Mounted::NoDevice if at == 0 => Answer::Unknown("the root has no block device"),
            Mounted::NoDevice => Answer::True,
        })
        .collect();
    all(&answers).unwrap_or(Answer::Unknown("no root is mounted"))
}

/// False when one is, unknown when one is, true when all are.
fn all(answers: &[Answer]) -> Option<Answer> {
    let is_unknown = |answer: &&Answer| matches!(answer, Answer::Unknown(_));
    let no = answers.iter().find(|answer| **answer == Answer::False);
    no.or_else(|| answers.iter().find(is_unknown))
        .or_else(|| answers.first())
        .copied()
}

fn of_device(root: &Root, device: &str, depth: u32) -> Answer {
    let uuid = read_text(root, &format!("{device}/dm/uuid"));
    if uuid.is_ok_and(|uuid| is_encrypting(&uuid)) {
        return Answer::True;
    }
    if depth == DEPTH_MAX {
        return Answer::Unknown(TOO_DEEP);
    }
    let Ok(below) = names_in(root, &format!("{device}/slaves")) else {
        // A partition has no such directory; it is part of the device above it.
        let is_partition = read_text(root, &format!("{device}/partition")).is_ok();
        return if is_partition {
            of_device(root, &format!("{device}/.."), depth + 1)
        } else {
            Answer::Unknown(UNSEEN)
        };
    };
    if below.is_empty() {
        return of_disk(root, device);
    }
    if below.len() > DEVICES_MAX {
        return Answer::Unknown(TOO_DEEP);
    }
    let answers: Vec<Answer> = below
        .iter()
        .map(|name| of_device(root, &of_name(name), depth + 1))
        .collect();
    all(&answers).unwrap_or(Answer::Unknown(UNSEEN))
}

/// Whether a device of the device mapper encrypts. What checks and does not hide what it stores is
/// made by the same tools and bears the same prefix.
fn is_encrypting(uuid: &str) -> bool {
    let is_check = ["VERITY-", "INTEGRITY-"];
    uuid.strip_prefix("CRYPT-")
        .is_some_and(|rest| !is_check.iter().any(|check| rest.starts_with(check)))
}

/// The name of a device stands in `uevent`; that of a disk of a virtual machine says so.
fn of_disk(root: &Root, device: &str) -> Answer {
    let Ok(text) = read_text(root, &format!("{device}/uevent")) else {
        return Answer::Unknown(UNSEEN);
    };
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    match name {
        Some(name) if ["vd", "xvd"].iter().any(|virt| name.starts_with(virt)) => {
            Answer::Unknown("the host of this virtual machine may encrypt its disk")
        }
        Some(_) => Answer::False,
        None => Answer::Unknown(UNSEEN),
    }
}

fn of_name(name: &str) -> String {
    format!("sys/class/block/{name}")
}

/// Where the device of a name is; one under `/dev/mapper` has another name in the kernel.
fn mapped(root: &Root, name: &str) -> String {
    let plain = of_name(name);
    if root.path(&plain).exists() {
        return plain;
    }
    let all = names_in(root, "sys/class/block").unwrap_or_default();
    let is_mapped = |dm: &String| {
        let of_dm = read_text(root, &format!("sys/class/block/{dm}/dm/name"));
        of_dm.is_ok_and(|of_dm| of_dm.trim_end() == name)
    };
    all.into_iter()
        .filter(|dm| dm.starts_with("dm-"))
        .find(is_mapped)
        .map_or(plain, |dm| of_name(&dm))
}

fn names_in(root: &Root, dir: &str) -> std::io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(root.path(dir))?;
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| entry.map(name)).collect()
}

/// Numbers, mount point, and after a lone dash kind and source (proc(5)).
fn parse_line(line: &str) -> Option<(&str, Mounted)> {
    let (head, tail) = line.split_once(" - ")?;
    let mut head = head.split(' ').skip(2);
    let (numbers, _, mount) = (head.next()?, head.next()?, head.next()?);
    let source = tail.split(' ').nth(1)?;
    let is_block = numbers.split_once(':')?.0 != "0";
    let name = source
        .strip_prefix("/dev/")
        .and_then(|name| name.rsplit('/').next());
    let mounted = match name {
        _ if is_block => Mounted::Numbers(numbers.to_owned()),
        Some(name) => Mounted::Named(name.to_owned()),
        None => Mounted::NoDevice,
    };
    Some((mount, mounted))
}

/// Devices on devices: a file system on LVM on LUKS on RAID on partitions is five.
const DEPTH_MAX: u32 = 8;
/// Devices below one other; larger arrays are rare.
const DEVICES_MAX: usize = 64;
const TOO_DEEP: &str = "block devices lie on too many others";
const UNSEEN: &str = "the block devices below cannot be read";

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const CRYPT: &str = "CRYPT-LUKS2-0123456789abcdef-root\n";

    fn mounts(lines: &[&str]) -> String {
        let line = |(n, line): (usize, &&str)| {
            let (place, rest) = line.split_once(' ').unwrap();
            let (numbers, source) = rest.split_once(' ').unwrap();
            format!("{n} 1 {numbers} / {place} rw,relatime shared:1 - ext4 {source} rw\n")
        };
        lines.iter().enumerate().map(line).collect()
    }

    /// A machine with a plain disk sda1, LUKS dm-0 on sda2, LVM dm-1 on dm-0, a virtual disk vda.
    fn machine(lines: &[&str]) -> Tree {
        let tree = Tree::new();
        tree.file("proc/self/mountinfo", mounts(lines));
        for (disk, part) in [("sda", "sda1"), ("sda", "sda2"), ("vda", "vda1")] {
            tree.file(
                &format!("d/{disk}/uevent"),
                format!("MAJOR=8\nDEVNAME={disk}\n"),
            );
            tree.dir(&format!("d/{disk}/slaves"));
            tree.file(&format!("d/{disk}/{part}/partition"), "1\n");
            tree.link(
                &format!("sys/class/block/{part}"),
                &format!("../../../d/{disk}/{part}"),
            );
        }
        for (dm, uuid, name, on) in [
            ("dm-0", CRYPT, "luks-1", "sda2"),
            ("dm-1", "LVM-abc\n", "vg-root", "dm-0"),
            ("dm-2", "LVM-def\n", "vg-mixed", "dm-0"),
        ] {
            tree.file(&format!("d/{dm}/dm/uuid"), uuid);
            tree.file(&format!("d/{dm}/dm/name"), format!("{name}\n"));
            tree.dir(&format!("d/{dm}/slaves/{on}"));
            tree.link(
                &format!("sys/class/block/{dm}"),
                &format!("../../../d/{dm}"),
            );
        }
        tree.dir("d/dm-2/slaves/sda1");
        for (numbers, device) in [
            ("8:1", "sda/sda1"),
            ("8:2", "sda/sda2"),
            ("254:1", "vda/vda1"),
            ("253:0", "dm-0"),
            ("253:1", "dm-1"),
            ("253:2", "dm-2"),
        ] {
            tree.link(
                &format!("sys/dev/block/{numbers}"),
                &format!("../../../d/{device}"),
            );
        }
        tree
    }

    fn answer(lines: &[&str]) -> Answer {
        look(&machine(lines).root())
    }

    #[test]
    fn a_root_on_luks_is_encrypted_also_through_lvm_and_by_name() {
        assert_eq!(answer(&["/ 253:0 /dev/mapper/luks-1"]), Answer::True);
        assert_eq!(answer(&["/ 253:1 /dev/mapper/vg-root"]), Answer::True);
        // As btrfs and overlay roots are shown: numbers that are no device.
        assert_eq!(answer(&["/ 0:32 /dev/mapper/luks-1"]), Answer::True);
        assert_eq!(answer(&["/ 0:32 /dev/dm-1"]), Answer::True);
    }

    #[test]
    fn what_only_checks_its_data_does_not_encrypt_them() {
        let tree = machine(&["/ 253:0 /dev/dm-0"]);
        for (uuid, expected) in [
            ("CRYPT-VERITY-0123-root\n", Answer::False),
            ("CRYPT-INTEGRITY-0123-root\n", Answer::False),
            ("CRYPT-PLAIN-root\n", Answer::True),
            ("mpath-0123\n", Answer::False),
        ] {
            tree.file("d/dm-0/dm/uuid", uuid);
            assert_eq!(look(&tree.root()), expected, "{uuid}");
        }
    }

    #[test]
    fn a_plain_partition_is_not_encrypted_wherever_data_lie() {
        assert_eq!(answer(&["/ 8:1 /dev/sda1"]), Answer::False);
        assert_eq!(answer(&["/ 0:32 /dev/sda1"]), Answer::False);
        assert_eq!(
            answer(&["/ 253:0 /dev/dm-0", "/home 8:1 /dev/sda1"]),
            Answer::False
        );
        // Boot loaders read plain partitions.
        assert_eq!(
            answer(&["/ 253:0 /dev/dm-0", "/boot 8:1 /dev/sda1"]),
            Answer::True
        );
    }

    #[test]
    fn a_volume_on_one_encrypted_and_one_plain_disk_is_not_encrypted() {
        assert_eq!(answer(&["/ 253:2 /dev/mapper/vg-mixed"]), Answer::False);
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_and_not_false() {
        for lines in [
            &["/ 254:1 /dev/vda1"][..],
            &["/ 0:20 overlay"],
            &["/ 0:20 rpool/ROOT"],
            &["/ 8:99 /dev/gone"],
            &["/ 0:9 /dev/gone"],
            &["/mnt 8:1 /dev/sda1"],
        ] {
            assert!(matches!(answer(lines), Answer::Unknown(_)), "{lines:?}");
        }
        assert!(matches!(look(&Tree::new().root()), Answer::Unknown(_)));
    }

    #[test]
    fn a_hidden_home_and_one_on_the_network_are_passed_by() {
        let hidden = [
            "/ 253:0 /dev/dm-0",
            "/home 8:1 /dev/sda1",
            "/home 0:50 tmpfs",
        ];
        assert_eq!(answer(&hidden), Answer::False);
        assert_eq!(
            answer(&["/ 253:0 /dev/dm-0", "/home 0:50 nas:/home"]),
            Answer::True
        );
    }

    #[test]
    fn lines_of_another_form_are_left_out() {
        for text in [
            "",
            "\n\n",
            "1 2 8:1 / / rw",
            "1 2 x / / rw - ext4 /dev/sda1 rw",
            " - ",
        ] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }
}
