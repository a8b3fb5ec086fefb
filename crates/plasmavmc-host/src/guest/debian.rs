//! The Debian guest: systemd, OpenSSH, cloud-init and the QEMU guest agent on an ext4 partition.
//!
//! `mmdebstrap` makes the system from the host's own release and mirrors, as root or in a user
//! namespace; `mke2fs` fills the root partition from a directory, so there is no loop device.
//! The agent is put in between. Without root, `fakeroot` remembers who owns what between the two; and what `mmdebstrap` unpacks
//! lies in the system's directory for temporary files until then, as files of other users. Tests: below for the parsing,
//! `tests/guest_image.rs` for the whole.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::boot::BootEntry;
use super::disk::Disk;
use super::partition::PartitionType;
use super::unpacked::Unpacked;
use super::{BuildError, BuildStep, Built, PackageLists, Recipe, fat, packages};
use crate::agent;
use crate::exec::{self, Program};
use crate::{HostError, IoContext};

const MMDEBSTRAP: Program = Program::new("mmdebstrap", "mmdebstrap");
const MKE2FS: Program = Program::new("mke2fs", "e2fsprogs");
const TAR: Program = Program::new("tar", "tar");
const FAKEROOT: Program = Program::new("fakeroot", "fakeroot");
const NEWUIDMAP: Program = Program::new("newuidmap", "uidmap");

/// What the kernel is told; the same as the tiny guest's, and where the root is.
const CMDLINE: &str = "root=LABEL=castra-root ro console=ttyS0 loglevel=6 cryptomgr.notests";

/// The packages of the guest, beside those every Debian has.
const GUEST_PACKAGES: [&str; 19] = [
    packages::KERNEL,
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "dbus",
    "udev",
    "netplan.io",
    "iproute2",
    "openssh-server",
    "cloud-init",
    "cloud-guest-utils",
    "qemu-guest-agent",
    "sudo",
    "ca-certificates",
    "e2fsprogs",
    "fdisk",
    "less",
    "procps",
    "kmod",
];

/// Packages unpacked on the host; none of them is installed.
const LOADER_PACKAGES: [&str; 4] = ["syslinux", "syslinux-common", "mtools", "systemd-boot-efi"];

/// What is done before the packages are installed.
const SETUP: &str = include_str!("debian/setup.sh");

/// What is done to the new system before it is packed.
const CUSTOMIZE: &str = include_str!("debian/customize.sh");

/// The size of the root partition, in bytes. 0.5 GB of it are used; cloud-init grows it to what
/// its disk has.
const ROOT_SIZE: u64 = 2 << 30;

/// The disk's signature; any number but 0 does.
const SIGNATURE: u32 = 0xca57_7a02;

/// Time to download, install and configure the packages: a minute on a quiet machine.
const BOOTSTRAP_BOUND: Duration = Duration::from_secs(1800);
/// Time it has, once that is over, to remove what it unpacked: nobody else may remove the files of a
/// user namespace.
const BOOTSTRAP_GRACE: Duration = Duration::from_secs(30);
/// Time to unpack or to pack 0.5 GB of files: some seconds.
const FILES_BOUND: Duration = Duration::from_secs(300);
/// Time for one question to apt.
const QUESTION_BOUND: Duration = Duration::from_secs(60);

/// Whose rights the build has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Root,
    User,
}

impl Privilege {
    fn current() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::User }
    }
}

/// The programs this recipe needs beside Debian's own and `qemu-img`.
pub(super) fn programs() -> Vec<Program> {
    let user_only: &[Program] = match Privilege::current() {
        Privilege::Root => &[],
        Privilege::User => &[FAKEROOT, NEWUIDMAP],
    };
    [&[MMDEBSTRAP, MKE2FS, TAR], user_only].concat()
}

/// Whether a user without root has user ids of their own, which unpacking a system needs.
pub(super) fn check_user_range() -> Result<(), BuildError> {
    if Privilege::current() == Privilege::Root {
        return Ok(());
    }
    let uid = rustix::process::getuid().as_raw();
    let user = user_name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    let ranges = ["/etc/subuid", "/etc/subgid"].map(|file| fs::read_to_string(file).unwrap_or_default());
    if ranges.iter().all(|text| has_range(text, &user, uid)) {
        return Ok(());
    }
    let free = ranges.iter().map(|text| free_range(text)).max().unwrap_or(FIRST_RANGE);
    Err(BuildError::NoUserRange { recipe: Recipe::Debian, user, free })
}

/// Builds the image in the directory `work` and publishes it as `out`.
pub(super) fn build(
    work: &Path,
    agent: &[u8],
    out: &Path,
    progress: &mut dyn FnMut(BuildStep),
) -> Result<Built, BuildError> {
    progress(BuildStep::ResolvePackages);
    let release = release()?;
    let loaders = LOADER_PACKAGES.map(str::to_owned);
    progress(BuildStep::Download { packages: loaders.len() });
    let (debs, unpacked) = (work.join("debs"), work.join("loaders"));
    packages::fetch(&loaders, &debs)?;
    packages::unpack(&debs, &unpacked)?;
    let unpacked = Unpacked::new(unpacked.canonicalize().context("find", &unpacked)?);

    progress(BuildStep::Bootstrap);
    let privilege = Privilege::current();
    let system = System { work, privilege };
    system.bootstrap(&release)?;
    progress(BuildStep::Unpack);
    let tree = system.unpack()?;
    add_agent(&tree, agent).context("put the agent into", &tree)?;

    progress(BuildStep::BootPartition);
    let entry = BootEntry {
        title: "Castra Debian guest",
        kernel: newest(&tree.join("boot"), "vmlinuz-")?,
        initrd: newest(&tree.join("boot"), "initrd.img-")?,
        cmdline: CMDLINE.to_owned(),
        efi_loader: unpacked.read("lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot-efi")?,
    };
    let volume = fat::volume(&entry.into_files()).context("make a boot partition for", out)?;
    let mut disk = Disk::create(work.join("disk.raw"), &volume)?;
    progress(BuildStep::RootPartition);
    let offset = disk.add_partition(PartitionType::Linux, ROOT_SIZE)?;
    system.fill_root(&tree, &disk, offset)?;
    disk.make_bootable(&unpacked, SIGNATURE)?;
    progress(BuildStep::Convert);
    Ok(disk.publish(out)?)
}

/// The steps that handle the guest's files, who belong to users the host does not have.
struct System<'a> {
    work: &'a Path,
    privilege: Privilege,
}

impl System<'_> {
    fn archive(&self) -> PathBuf {
        self.work.join("root.tar")
    }

    /// Where fakeroot remembers owners between two programs.
    fn owners(&self) -> PathBuf {
        self.work.join("owners")
    }

    /// Makes the system, as an archive.
    fn bootstrap(&self, release: &Release) -> Result<(), HostError> {
        let mut command = MMDEBSTRAP.command()?;
        let mode = match self.privilege {
            Privilege::Root => "root",
            Privilege::User => "unshare",
        };
        command.args(["--quiet", "--variant=minbase", "--format=tar", "--mode", mode]);
        command.arg("--include").arg(GUEST_PACKAGES.join(","));
        command.arg(format!("--setup-hook={SETUP}")).arg(format!("--customize-hook={CUSTOMIZE}"));
        command.arg(&release.codename).arg(self.archive()).args(&release.sources);
        if self.privilege == Privilege::Root {
            // Whatever is left when the program is killed goes with the working directory.
            command.env("TMPDIR", self.work);
        }
        exec::run_gently(command, BOOTSTRAP_BOUND, BOOTSTRAP_GRACE)?;
        Ok(())
    }

    /// Unpacks the system into a directory.
    fn unpack(&self) -> Result<PathBuf, HostError> {
        let tree = self.work.join("tree");
        fs::create_dir(&tree).context("create directory", &tree)?;
        let mut command = self.as_owner(TAR)?;
        command.args(["--extract", "--numeric-owner", "--preserve-permissions", "--file"]);
        command.arg(self.archive()).arg("--directory").arg(&tree);
        exec::run(command, FILES_BOUND)?;
        fs::remove_file(self.archive()).context("remove", &self.archive())?;
        Ok(tree)
    }

    /// Makes the root file system on `disk` at `offset`, with the files of `tree` in it.
    fn fill_root(&self, tree: &Path, disk: &Disk, offset: u64) -> Result<(), HostError> {
        let mut command = self.as_owner(MKE2FS)?;
        command.args(["-q", "-F", "-t", "ext4", "-L", "castra-root", "-d"]).arg(tree);
        command.arg("-E").arg(format!("offset={offset}")).arg(disk.path());
        command.arg(format!("{}k", ROOT_SIZE >> 10));
        exec::run(command, FILES_BOUND)?;
        Ok(())
    }

    /// `program`, as the owner of every file: root, or someone who seems to be.
    fn as_owner(&self, program: Program) -> Result<Command, HostError> {
        if self.privilege == Privilege::Root {
            return program.command();
        }
        let path = program.command()?.get_program().to_owned();
        let mut command = FAKEROOT.command()?;
        if self.owners().exists() {
            command.arg("-i").arg(self.owners());
        }
        command.arg("-s").arg(self.owners()).arg("--").arg(path);
        Ok(command)
    }
}

/// Puts the agent and its service into the system. Files that fakeroot did not see belong to root.
fn add_agent(tree: &Path, bytes: &[u8]) -> io::Result<()> {
    let program = format!("/usr/bin/{}", agent::NAME);
    let path = tree.join(&program[1..]);
    fs::write(&path, bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let unit = format!("{}.service", agent::NAME);
    fs::write(tree.join("usr/lib/systemd/system").join(&unit), agent::systemd_unit(&program))?;
    let wants = tree.join("etc/systemd/system/sysinit.target.wants");
    fs::create_dir_all(&wants)?;
    symlink(Path::new("/usr/lib/systemd/system").join(&unit), wants.join(&unit))
}

/// The bytes of the file with the last name that begins with `prefix`.
fn newest(directory: &Path, prefix: &str) -> Result<Vec<u8>, BuildError> {
    let entries = fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let path = entries.context("list", directory)?.into_iter().filter(named).max();
    let missing =
        || BuildError::Content { package: packages::KERNEL.to_owned(), what: format!("`{prefix}*`") };
    let path = path.ok_or_else(missing)?;
    Ok(fs::read(&path).context("read", &path)?)
}

/// A release of Debian, and where its packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Release {
    codename: String,
    /// Lines as in `sources.list`.
    sources: Vec<String>,
}

/// What apt is asked to tell of each of its lists.
const TARGET: &str = "$(CREATED_BY)|$(ORIGIN)|$(CODENAME)|$(SITE)|$(RELEASE)|$(COMPONENT)";

/// The host's own release and mirrors.
fn release() -> Result<Release, BuildError> {
    let mut command = packages::APT_GET.command()?;
    command.args(["indextargets", "--format", TARGET]);
    let targets = exec::run(command, QUESTION_BOUND)?;
    release_of(&targets.text()).ok_or(BuildError::Lacking {
        recipe: Recipe::Debian,
        programs: Vec::new(),
        lists: PackageLists::Missing,
    })
}

/// The release in what apt tells: Debian's own `main` lists, without backports and proposals.
fn release_of(targets: &str) -> Option<Release> {
    let mut release = Release { codename: String::new(), sources: Vec::new() };
    for line in targets.lines() {
        let fields: Vec<_> = line.split('|').collect();
        let ["Packages", "Debian", codename, site, suite, "main"] = fields[..] else { continue };
        if suite.contains("proposed") || suite.contains("backports") {
            continue;
        }
        let source = format!("deb {site} {suite} main");
        if !release.sources.contains(&source) {
            release.sources.push(source);
        }
        // The base has the bare name; its updates and security fixes have longer ones.
        if release.codename.is_empty() || codename.len() < release.codename.len() {
            codename.clone_into(&mut release.codename);
        }
    }
    (!release.sources.is_empty()).then_some(release)
}

/// The name of the user `uid` in the text of `/etc/passwd`; the number where there is none.
fn user_name(passwd: &str, uid: u32) -> String {
    let uid = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// How many ids a system has, and so a range needs.
pub(super) const RANGE: u32 = 65_536;

/// The first id that Debian gives away in ranges.
const FIRST_RANGE: u32 = 100_000;

/// The rows of the text of `/etc/subuid`: owner, first id, number of ids.
fn ranges(text: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((owner, first.parse().ok()?, count.trim().parse().ok()?))
    })
}

/// Whether the user has a range that is large enough.
fn has_range(text: &str, user: &str, uid: u32) -> bool {
    let uid = uid.to_string();
    ranges(text).any(|(owner, _, count)| (owner == user || owner == uid) && count >= RANGE)
}

/// The first id after all that are given away.
fn free_range(text: &str) -> u32 {
    ranges(text)
        .map(|(_, first, count)| first.saturating_add(count))
        .max()
        .map_or(FIRST_RANGE, |free| free.max(FIRST_RANGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_is_made_of_the_hosts_release_without_backports() {
        let targets = "Packages|Debian|bookworm-security|http://a/sec|bookworm-security|main\n\
                       Packages|Debian|bookworm|http://a/debian|bookworm|main\n\
                       Packages|Debian|bookworm|http://a/debian|bookworm|contrib\n\
                       Translations|Debian|bookworm|http://a/debian|bookworm|main\n\
                       Packages|Debian Backports|bookworm-backports|http://a/debian|bookworm-backports|main\n\
                       Packages|Docker|bookworm|http://other|bookworm|main\n";
        let release = release_of(targets).unwrap();
        assert_eq!(release.codename, "bookworm");
        assert_eq!(
            release.sources,
            ["deb http://a/sec bookworm-security main", "deb http://a/debian bookworm main"]
        );
        assert_eq!(release_of(""), None);
    }

    #[test]
    fn a_user_needs_a_range_as_large_as_a_system_has_users() {
        assert!(has_range("me:100000:65536\n", "me", 1000));
        assert!(has_range("1000:100000:70000", "me", 1000));
        for text in ["", "you:100000:65536", "me:100000:1", "me:100000"] {
            assert!(!has_range(text, "me", 1000), "{text:?}");
        }
        assert_eq!(free_range(""), FIRST_RANGE);
        assert_eq!(free_range("you:100000:65536\nme:300000:10\n"), 300_010);
        assert_eq!(user_name("root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n", 1000), "me");
        assert_eq!(user_name("", 1000), "1000");
    }
}
