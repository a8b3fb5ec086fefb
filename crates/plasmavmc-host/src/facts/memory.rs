//! The host's memory, and what a control group leaves of it.
//!
//! `MemAvailable` is the kernel's own estimate of what programs can take without swapping. In a
//! container the group's limit counts instead where it is lower: whoever passes it is killed.
//! Formats: proc(5), the kernel's `admin-guide/cgroup-v2.rst`. Tests: below.

use std::fs;
use std::path::{Path, PathBuf};

use plasmavmc_types::ByteSize;

use crate::{HostError, IoContext};

const MEMINFO: &str = "/proc/meminfo";

/// The host's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All there is, or the control group's limit where that is lower.
    pub total: ByteSize,
    /// What can still be taken.
    pub available: ByteSize,
}

impl Memory {
    /// Reads it now.
    ///
    /// # Errors
    /// [`HostError`] where the kernel does not tell.
    pub fn read() -> Result<Self, HostError> {
        let path = Path::new(MEMINFO);
        let text = fs::read_to_string(path).context("read", path)?;
        let host = parse_meminfo(&text).ok_or_else(|| HostError::Malformed {
            path: path.to_owned(),
            expected: "the kernel's table of memory",
            reason: "`MemTotal` or `MemAvailable` is missing".to_owned(),
        })?;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Ok(groups_of(&groups).iter().filter_map(|group| group_memory(group)).fold(host, Self::narrowed_to))
    }

    /// What is left where `limit` holds as well.
    fn narrowed_to(self, limit: Self) -> Self {
        Self { total: self.total.min(limit.total), available: self.available.min(limit.available) }
    }
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        kib.checked_mul(1024).map(ByteSize::bytes)
    };
    Some(Memory { total: field("MemTotal")?, available: field("MemAvailable")? })
}

/// The directories of this process's control group (version 2) and of those above it, from
/// `/proc/self/cgroup`. Any of them may set a limit.
fn groups_of(text: &str) -> Vec<PathBuf> {
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    // A group outside of what this namespace shows begins with `..`; its limits cannot be seen.
    let steps = path.split('/').take_while(|step| !step.is_empty() && *step != "..");
    let mut group = PathBuf::from("/sys/fs/cgroup");
    let mut groups = vec![group.clone()];
    for step in steps {
        group.push(step);
        groups.push(group.clone());
    }
    groups
}

/// What one control group leaves; none where it sets no limit.
fn group_memory(group: &Path) -> Option<Memory> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    parse_group(&read("memory.max")?, &read("memory.current")?, &read("memory.stat").unwrap_or_default())
}

fn parse_group(max: &str, current: &str, stat: &str) -> Option<Memory> {
    // `max` is no number: no limit.
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    let in_use = current.saturating_sub(cache.unwrap_or(0));
    Some(Memory { total: ByteSize::bytes(max), available: ByteSize::bytes(max.saturating_sub(in_use)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_in_kib() {
        let text = "MemTotal:       24653140 kB\nMemFree:        1 kB\nMemAvailable:   20000000 kB\n";
        let memory = parse_meminfo(text).unwrap();
        assert_eq!(memory.total, ByteSize::bytes(24_653_140 * 1024));
        assert_eq!(memory.available, ByteSize::bytes(20_000_000 * 1024));
        for text in
            ["", "MemTotal: 1 kB", "MemTotal: x kB\nMemAvailable: 1 kB", "MemTotal: 1\nMemAvailable: 1 kB"]
        {
            assert_eq!(parse_meminfo(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_lower_limit_of_the_group_holds_and_its_cache_does_not_count() {
        let host = Memory { total: ByteSize::gib(24), available: ByteSize::gib(20) };
        let group = parse_group("1073741824\n", "536870912\n", "anon 1\ninactive_file 268435456\n").unwrap();
        assert_eq!(group, Memory { total: ByteSize::gib(1), available: ByteSize::mib(768) });
        assert_eq!(host.narrowed_to(group), group);
        assert_eq!(parse_group("max\n", "1\n", ""), None);
        let over = parse_group("100", "200", "").unwrap();
        assert_eq!(over.available, ByteSize::bytes(0));
    }

    #[test]
    fn a_group_and_all_above_it_are_asked() {
        let paths = |text| groups_of(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            paths("1:name=x:/y\n0::/user.slice/a.scope\n"),
            ["/sys/fs/cgroup", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/user.slice/a.scope"]
        );
        assert_eq!(paths("0::/\n"), ["/sys/fs/cgroup"]);
        assert_eq!(paths("0::/../other\n"), ["/sys/fs/cgroup"]);
        assert!(paths("3:memory:/docker/x\n").is_empty());
    }
}
