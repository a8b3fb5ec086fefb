//! Who a process is: its pid, when it started, and the boot that both count from.
//!
//! Tests: below and in [`super::PidFile`].

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{HostError, IoContext};

/// A process, once and for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id, at least 1.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, see proc(5).
    pub start_time: u64,
    /// The boot it runs under.
    pub boot_id: BootId,
}

impl ProcessIdentity {
    /// Its start, counted from the boot.
    pub fn started_after_boot(&self) -> Duration {
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        let nanos = u128::from(self.start_time) * 1_000_000_000 / u128::from(ticks_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One boot of the host: a random UUID that the kernel draws when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(Uuid);

impl BootId {
    /// Where the kernel tells it.
    const SOURCE: &str = "/proc/sys/kernel/random/boot_id";

    /// The boot the host runs under now.
    ///
    /// # Errors
    /// [`HostError`] where the kernel does not tell.
    pub fn current() -> Result<Self, HostError> {
        let path = Path::new(Self::SOURCE);
        let text = fs::read_to_string(path).context("read", path)?;
        text.trim_end().parse().map_err(|_| HostError::Malformed {
            path: path.to_owned(),
            expected: "a boot id",
            reason: format!("it holds {text:?}"),
        })
    }

    /// Wraps a UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for BootId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_stays_the_same_while_the_host_runs() {
        let boot_id = BootId::current().unwrap();
        assert_eq!(BootId::current().unwrap(), boot_id);
        assert_eq!(boot_id.to_string().parse::<BootId>().unwrap(), boot_id);
    }
}
