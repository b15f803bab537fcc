//! Names and home directories of users, from `/etc/passwd`.
//!
//! The file is read as it is: no directory service is asked, because that would load foreign code
//! and could wait for a network. A user who is known elsewhere has no name here. What not:
//! passwords, groups, full names. Cost: one pass over the file; 24 bytes a user.

/// The users of one machine, borrowed from the text of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users<'a> {
    /// Number and name, sorted; of several names of one number the first.
    names: Vec<(u32, &'a str)>,
    /// Home directories, sorted, each once.
    homes: Vec<&'a str>,
}

impl<'a> Users<'a> {
    /// Reads the text of `/etc/passwd`; lines in another form are left out.
    pub fn parse(text: &'a str) -> Self {
        let (mut names, mut homes) = (Vec::new(), Vec::new());
        for line in text.lines().take(USERS_MAX) {
            let Some((number, name, home)) = parse_line(line) else {
                continue;
            };
            names.push((number, name));
            homes.push(home);
        }
        // Stable, so that the first name of a number stays the first.
        names.sort_by_key(|(number, _)| *number);
        names.dedup_by_key(|(number, _)| *number);
        homes.sort_unstable();
        homes.dedup();
        Self { names, homes }
    }

    /// Returns the name of a user.
    pub fn name(&self, number: u32) -> Option<&'a str> {
        let at = self
            .names
            .binary_search_by_key(&number, |(number, _)| *number);
        self.names.get(at.ok()?).map(|(_, name)| *name)
    }

    /// Returns the home directories, sorted.
    pub fn homes(&self) -> &[&'a str] {
        &self.homes
    }
}

fn parse_line(line: &str) -> Option<(u32, &str, &str)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let number = fields.nth(1)?.parse().ok()?;
    Some((number, name, fields.nth(2)?))
}

/// More local users than any machine has.
const USERS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        toor:x:0:0::/root:/bin/sh\n\
        sshd:x:104:65534::/run/sshd:/usr/sbin/nologin\n\
        # comment\n\
        +nis\n\
        :x:5:5::/nameless:/bin/sh\n\
        bad:x:minus:1::/bad:/bin/sh\n\
        short:x:7\n\
        élan:x:1000:1000:Élan,,,:/home/élan:/bin/zsh\n";

    #[test]
    fn a_captured_file_is_read_and_other_lines_are_left_out() {
        let users = Users::parse(PASSWD);
        assert_eq!(users.name(0), Some("root"));
        assert_eq!(users.name(104), Some("sshd"));
        assert_eq!(users.name(1_000), Some("élan"));
        for unknown in [1, 5, 7, u32::MAX] {
            assert_eq!(users.name(unknown), None);
        }
        assert_eq!(users.homes(), ["/home/élan", "/root", "/run/sshd"]);
    }

    #[test]
    fn an_empty_file_has_no_users() {
        assert_eq!(Users::parse(""), Users::default());
    }
}
