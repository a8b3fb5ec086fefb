//! The clock that ages are counted on: time since the host's boot, sleep included, which nobody can
//! set. The same for every process, so that what the broker writes down is what `status` compares.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the host's boot (`CLOCK_BOOTTIME`).
pub fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let millis = u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000;
    seconds.saturating_mul(1_000).saturating_add(millis)
}
