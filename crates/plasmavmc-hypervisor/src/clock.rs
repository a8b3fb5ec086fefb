//! Time, as the engine is given it.

use std::time::Duration;

/// A monotonic clock. The engine never reads time itself, so its tests advance a number instead of
/// sleeping.
pub trait Clock: Sync {
    /// Time since some fixed point of this process.
    fn now(&self) -> Duration;
}
