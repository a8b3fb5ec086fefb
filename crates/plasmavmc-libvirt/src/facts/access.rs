//! Whether the user that QEMU runs as can reach a file.
//!
//! libvirt's system daemon runs QEMU as a user of its own (`libvirt-qemu` on Debian, `qemu` on Fedora, or what
//! `qemu.conf` says) and gives it the disks' files when it starts a VM. It gives it no directories: one home
//! that only its owner may enter, and the VM does not start. Reads modes and owners only; changes nothing, and
//! opens nothing that is asked about. Tests: below.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Fact;

/// Where the system daemon's settings of QEMU are.
const QEMU_CONF: &str = "/etc/libvirt/qemu.conf";

/// Users that distributions let QEMU run as.
const USUAL: [&str; 3] = ["libvirt-qemu", "qemu", "libvirt"];

/// The user that QEMU runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuUser {
    /// Its name.
    pub name: String,
    uid: u32,
    gids: Vec<u32>,
    /// Whether libvirt gives it the files it is to use.
    gets_files: bool,
}

/// How far QEMU's user gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reach", rename_all = "snake_case")]
pub enum Reach {
    /// It can read the file.
    Readable,
    /// It can enter every directory, and libvirt gives it the file when it starts the VM.
    Given,
    /// It cannot enter this directory.
    Closed {
        /// The directory.
        at: PathBuf,
    },
    /// It cannot read the file.
    Unreadable,
    /// There is no such file.
    Missing,
    /// It is something else than a file or a block device.
    NotAFile,
    /// An access list, or a directory this user cannot look into, decides.
    Unknown {
        /// Where.
        at: PathBuf,
    },
}

impl QemuUser {
    /// The user that QEMU runs as under this libvirt; none where that is another host's or not known.
    pub fn of(uri: &str) -> Option<Self> {
        let local = uri.strip_prefix("qemu:///").or_else(|| uri.strip_prefix("qemu+unix:///"))?;
        if local.starts_with("session") {
            return Some(Self::this_user());
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        let conf = fs::read_to_string(QEMU_CONF).unwrap_or_default();
        let set = setting(&conf, "user");
        let names = set.as_deref().map_or(&USUAL[..], |_| &[]).iter().copied().chain(set.as_deref());
        let gets_files = setting(&conf, "dynamic_ownership").is_none_or(|value| value != "0");
        let found = names.into_iter().find_map(|name| look_up(&passwd, &group, name))?;
        Some(Self { gets_files, ..found })
    }

    fn this_user() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let gid = rustix::process::getegid();
        Self {
            name: std::env::var("USER").unwrap_or_else(|_| "this user".to_owned()),
            uid: rustix::process::geteuid().as_raw(),
            gids: groups.into_iter().chain([gid]).map(rustix::process::Gid::as_raw).collect(),
            gets_files: false,
        }
    }

    /// How far it gets to `path`, which is absolute.
    pub fn reach(&self, path: &Path) -> Fact<Reach> {
        let value = self.walk(path).unwrap_or_else(|reach| reach);
        Fact { value, shown_by: format!("sudo namei -l {}", path.display()) }
    }

    fn walk(&self, path: &Path) -> Result<Reach, Reach> {
        self.enter_all(path)?;
        // Links lead through other directories.
        let real = path.canonicalize().map_err(|error| missing_or_hidden(&error, path))?;
        self.enter_all(&real)?;
        let meta = fs::metadata(&real).map_err(|error| missing_or_hidden(&error, path))?;
        if !meta.is_file() && !meta.file_type().is_block_device() {
            return Err(Reach::NotAFile);
        }
        match self.may(&meta, 0o4) {
            true => Ok(Reach::Readable),
            false if self.gets_files => Ok(Reach::Given),
            false if has_access_list(&real) => Err(Reach::Unknown { at: real }),
            false => Err(Reach::Unreadable),
        }
    }

    /// Whether it may search every directory above `path`.
    fn enter_all(&self, path: &Path) -> Result<(), Reach> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for dir in above.into_iter().filter(|dir| !dir.as_os_str().is_empty()) {
            let meta = fs::metadata(dir).map_err(|error| missing_or_hidden(&error, dir))?;
            if !self.may(&meta, 0o1) {
                let at = dir.to_owned();
                return Err(if has_access_list(dir) { Reach::Unknown { at } } else { Reach::Closed { at } });
            }
        }
        Ok(())
    }

    /// Whether the mode allows it all of `bits` (of `0o7`). The first class that fits decides.
    fn may(&self, meta: &fs::Metadata, bits: u32) -> bool {
        let class = if self.uid == 0 {
            return true;
        } else if meta.uid() == self.uid {
            6
        } else if self.gids.contains(&meta.gid()) {
            3
        } else {
            0
        };
        (meta.mode() >> class) & bits == bits
    }
}

fn missing_or_hidden(error: &io::Error, path: &Path) -> Reach {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reach::Missing,
        _ => Reach::Unknown { at: path.to_owned() },
    }
}

/// Whether more than the mode decides.
fn has_access_list(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    matches!(rustix::fs::getxattr(path, "system.posix_acl_access", &mut nothing[..]), Ok(size) if size > 0)
}

/// A setting of `qemu.conf`: `user = "libvirt-qemu"`.
fn setting(conf: &str, name: &str) -> Option<String> {
    conf.lines().rev().find_map(|line| {
        let value = line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches('"').trim_start_matches('+').to_owned())
    })
}

/// A user, by name or number, with its groups.
fn look_up(passwd: &str, group: &str, wanted: &str) -> Option<QemuUser> {
    let mut users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        Some((name, uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?))
    });
    let (name, uid, gid) = users.find(|(name, uid, _)| *name == wanted || uid.to_string() == wanted)?;
    let more = group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (gid, members) = (fields.nth(2)?, fields.next()?);
        if members.split(',').any(|member| member == name) { gid.parse().ok() } else { None }
    });
    let gids = std::iter::once(gid).chain(more).collect();
    Some(QemuUser { name: name.to_owned(), uid, gids, gets_files: false })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nlibvirt-qemu:x:64055:108::/var/lib/libvirt:/bin/false\n";
    const GROUP: &str = "kvm:x:107:libvirt-qemu\nlibvirt-qemu:x:108:\ndisk:x:6:other\n";

    #[test]
    fn a_user_is_found_by_name_or_number_with_all_its_groups() {
        let user = look_up(PASSWD, GROUP, "libvirt-qemu").unwrap();
        assert_eq!((user.uid, &user.gids[..]), (64055, &[108, 107][..]));
        assert_eq!(look_up(PASSWD, GROUP, "64055"), Some(user));
        assert_eq!(look_up(PASSWD, GROUP, "qemu"), None);
    }

    #[test]
    fn a_setting_counts_unless_it_is_a_comment() {
        let conf = "#user = \"root\"\n user = \"+64055\"\ndynamic_ownership=0\nuser_x = 1\n";
        assert_eq!(setting(conf, "user").as_deref(), Some("64055"));
        assert_eq!(setting(conf, "dynamic_ownership").as_deref(), Some("0"));
        assert_eq!(setting(conf, "group"), None);
    }

    #[test]
    fn another_hosts_user_is_not_guessed() {
        assert_eq!(QemuUser::of("qemu+ssh://host/system"), None);
        assert_eq!(QemuUser::of("test:///default"), None);
        assert!(QemuUser::of("qemu:///session").is_some());
    }

    /// Nobody: owns nothing and is in no group of ours.
    fn nobody(gets_files: bool) -> QemuUser {
        QemuUser { name: "nobody".to_owned(), uid: 65533, gids: vec![65533], gets_files }
    }

    #[test]
    fn one_closed_directory_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(dir.path(), 0o711);
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        let file = home.join("disk");
        fs::write(&file, "").unwrap();
        mode(&file, 0o600);
        let reach = |gets_files| nobody(gets_files).reach(&file).value;
        mode(&home, 0o700);
        assert_eq!(reach(true), Reach::Closed { at: home.clone() });
        mode(&home, 0o711);
        assert_eq!((reach(true), reach(false)), (Reach::Given, Reach::Unreadable));
        mode(&file, 0o644);
        assert_eq!(reach(false), Reach::Readable);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        mode(&home, 0o700);
        assert_eq!(nobody(true).reach(&link).value, Reach::Closed { at: home.clone() });
        mode(&home, 0o711);
        assert_eq!(nobody(true).reach(&home).value, Reach::NotAFile);
        assert_eq!(nobody(true).reach(&home.join("x")).value, Reach::Missing);
    }
}
