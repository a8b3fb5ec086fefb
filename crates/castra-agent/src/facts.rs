//! What the agent knows of its guest: its boot, and what can be done here.
//!
//! Reads; never changes anything. Tests: below.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use castra_agent_proto::limits::{MAX_TEXT, capability};
use rustix::time::{ClockId, clock_gettime};

/// Facts that do not change while the guest runs.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) boot_id: String,
    pub(crate) agent_started_ms: u64,
    pub(crate) is_root: bool,
    root: PathBuf,
}

/// Milliseconds since the kernel started, with the time it slept.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

impl Facts {
    /// Looks at the guest below `root`.
    pub(crate) fn gather(root: &Path) -> Self {
        let boot_id = fs::read_to_string(root.join("proc/sys/kernel/random/boot_id")).unwrap_or_default();
        let boot_id: String = boot_id.trim().chars().filter(char::is_ascii_graphic).take(MAX_TEXT).collect();
        Self {
            boot_id: if boot_id.is_empty() { "unknown".to_owned() } else { boot_id },
            agent_started_ms: uptime_ms(),
            is_root: rustix::process::geteuid().is_root(),
            root: root.to_owned(),
        }
    }

    /// What the agent can do here, by name.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let mut names = vec![capability::BUS, capability::EXEC, capability::FILES, capability::STAGES];
        if self.is_root {
            names.extend([capability::SHUTDOWN, capability::TIME]);
            if ["9p", "virtiofs"].iter().any(|name| self.has_file_system(name)) {
                names.push(capability::MOUNT);
            }
        }
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whether the kernel knows the file system, or has a module for it.
    fn has_file_system(&self, name: &str) -> bool {
        let known = fs::read_to_string(self.root.join("proc/filesystems")).unwrap_or_default();
        if known.lines().any(|line| line.split_whitespace().next_back() == Some(name)) {
            return true;
        }
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        let directory = ["lib/modules", "usr/lib/modules"]
            .map(|path| self.root.join(path).join(&release))
            .into_iter()
            .find(|directory| directory.is_dir());
        directory.is_some_and(|directory| {
            ["modules.dep", "modules.builtin"].iter().any(|list| lists_module(&directory.join(list), name))
        })
    }
}

/// Whether a list of modules, a path a line, has the module.
fn lists_module(list: &Path, module: &str) -> bool {
    let Ok(file) = File::open(list) else { return false };
    let name = format!("/{module}.ko");
    BufReader::new(file).lines().map_while(Result::ok).any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        format!("/{path}").split_once(&name).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_boot_id_is_one_plain_word() {
        let dir = guest(&[("proc/sys/kernel/random/boot_id", "5f9d-1\n")]);
        assert_eq!(Facts::gather(dir.path()).boot_id, "5f9d-1");
        assert_eq!(Facts::gather(Path::new("/nowhere")).boot_id, "unknown");
    }

    #[test]
    fn folders_can_be_mounted_where_the_kernel_knows_how() {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let dep = format!("lib/modules/{release}/modules.dep");
        for (files, can) in [
            (vec![("proc/filesystems", "nodev\tsysfs\n\text4\n")], false),
            (vec![("proc/filesystems", "nodev\tsysfs\nnodev\t9p\n")], true),
            (vec![(dep.as_str(), "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz\n")], true),
            (vec![(dep.as_str(), "kernel/fs/x/x.ko: kernel/fs/9p/9p.ko\nkernel/net/9p/9pnet.ko:\n")], false),
        ] {
            let dir = guest(&files);
            assert_eq!(Facts::gather(dir.path()).has_file_system("9p"), can, "{files:?}");
        }
    }
}
