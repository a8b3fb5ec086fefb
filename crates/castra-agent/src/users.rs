//! Users of the guest, read from `/etc/passwd` and `/etc/group` as text.
//!
//! The C library's own way loads other libraries at run time, which a static program cannot; so
//! users that only a directory server knows are not found. Pure but for reading the two files.
//! Tests: below.

use std::fs;
use std::path::Path;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
    /// Groups beside the first.
    pub(crate) groups: Vec<u32>,
}

/// The guest's tables of users and groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// Reads them below `root`. A table that is missing is empty.
    pub(crate) fn read(root: &Path) -> Self {
        let text = |name: &str| {
            let bytes = fs::read(root.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self { passwd: text("etc/passwd"), group: text("etc/group") }
    }

    /// The user with this name, or this number.
    pub(crate) fn find(&self, name: &str) -> Option<User> {
        let by_name = self.rows().find(|user| user.name == name);
        by_name.or_else(|| name.parse().ok().and_then(|uid| self.by_uid(uid)))
    }

    /// The user with this number.
    pub(crate) fn by_uid(&self, uid: u32) -> Option<User> {
        self.rows().find(|user| user.uid == uid)
    }

    /// The number of the group with this name, or this number.
    pub(crate) fn group(&self, name: &str) -> Option<u32> {
        let named =
            self.group.lines().map(|line| line.split(':')).find_map(|mut fields| {
                (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
            });
        named.or_else(|| name.parse().ok())
    }

    fn rows(&self) -> impl Iterator<Item = User> + '_ {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell, ..] = fields[..] else { return None };
            let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
            let gid = gid.parse().ok()?;
            Some(User {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid,
                home: or(home, "/"),
                shell: or(shell, "/bin/sh"),
                groups: self.groups_of(name, gid),
            })
        })
    }

    fn groups_of(&self, user: &str, first: u32) -> Vec<u32> {
        let groups = self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members] = fields[..] else { return None };
            let gid = gid.parse().ok().filter(|gid| *gid != first)?;
            members.split(',').any(|member| member.trim() == user).then_some(gid)
        });
        groups.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd: "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000::/home/me:\nbroken:x:1\n7:x:9:9::/:/x\n"
                .to_owned(),
            group: "root:x:0:\nsudo:x:27:me,you\nme:x:1000:me\ndocker:x:99:you,me\n".to_owned(),
        }
    }

    #[test]
    fn a_user_is_found_by_name_and_number_with_its_groups() {
        let me = users().find("me").unwrap();
        assert_eq!(
            (me.uid, me.gid, me.home.as_str(), me.shell.as_str()),
            (1000, 1000, "/home/me", "/bin/sh")
        );
        assert_eq!(me.groups, [27, 99]);
        assert_eq!(users().find("1000"), Some(me));
        assert_eq!(users().find("7").unwrap().uid, 9, "a name comes before a number");
        assert_eq!((users().find("broken"), users().find("nobody")), (None, None));
    }

    #[test]
    fn a_group_is_found_by_name_and_number() {
        assert_eq!(users().group("sudo"), Some(27));
        assert_eq!(users().group("5"), Some(5));
        assert_eq!(users().group("wheel"), None);
    }
}
