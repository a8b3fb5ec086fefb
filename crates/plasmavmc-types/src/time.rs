//! Points in time as events and metadata carry them: UTC, milliseconds, RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time with millisecond precision, shown as `2026-01-31T12:00:00.123Z` (RFC 3339).
///
/// Wall-clock time, for people and logs: durations are measured on a monotonic clock instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// A text that is not an RFC 3339 time in UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time such as `2026-01-31T12:00:00.123Z`")]
pub struct TimestampError {
    text: String,
}

impl Timestamp {
    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z, at most the year 9999.
    pub const fn from_unix_millis(millis: u64) -> Self {
        /// 9999-12-31T23:59:59.999Z: the last time RFC 3339 can write.
        const LAST: u64 = 253_402_300_799_999;
        Self(if millis > LAST { LAST } else { millis })
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this one; zero where the clock went backwards.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self::from_unix_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_millis(self.0);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TimestampError { text: text.to_owned() };
        Ok(humantime::parse_rfc3339(text).map_err(|_| error())?.into())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text_form() {
        let time = Timestamp::from_unix_millis(1_767_225_600_123);
        assert_eq!(time.to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!("2026-01-01T00:00:00.123Z".parse(), Ok(time));
    }

    #[test]
    fn a_clock_that_went_backwards_gives_no_negative_duration() {
        let (a, b) = (Timestamp::from_unix_millis(5), Timestamp::from_unix_millis(9));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(Timestamp::from_unix_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
