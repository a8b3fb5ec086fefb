//! Decides whether a failed try is followed by another, and when. Pure. Tests: below.

use std::time::Duration;

use super::DownloadPolicy;
use super::error::{FetchError, Outlook};

/// A try that got this much further was worth making, and the count begins again.
const HEADWAY_BYTES: u64 = 1 << 20;

/// Tries where the server was never reached. More would only delay telling that there is no network.
const DOUBTFUL_TRIES: u32 = 3;

/// Counts tries.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The furthest any try got. It only grows, so tries that make headway end with the file.
    furthest: u64,
}

impl Backoff {
    /// The time until the next try after `error`, with `done` bytes on disk; none to give up.
    pub(super) fn after(
        &mut self,
        error: &FetchError,
        done: u64,
        policy: &DownloadPolicy,
    ) -> Option<Duration> {
        if done >= self.furthest.saturating_add(HEADWAY_BYTES) {
            self.failures = 0;
        }
        self.furthest = self.furthest.max(done);
        self.failures += 1;
        let tries = match error.outlook() {
            Outlook::Final => return None,
            Outlook::Doubtful => policy.tries.min(DOUBTFUL_TRIES),
            Outlook::Passing => policy.tries,
        };
        if self.failures >= tries {
            return None;
        }
        let doubled = policy.first_wait.saturating_mul(1 << (self.failures - 1).min(16));
        let asked = match error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Some(doubled.max(asked).min(policy.longest_wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> FetchError {
        FetchError::Status { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_then_end() {
        let policy = DownloadPolicy {
            tries: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(3),
            ..DownloadPolicy::default()
        };
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..5).map(|_| backoff.after(&status(503, None), 0, &policy)).collect();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(waits, [seconds(1), seconds(2), seconds(3), seconds(3), None]);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after(&status(429, Some(2)), 0, &policy), seconds(2), "the server's wish counts");
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.after(&status(429, Some(900)), 0, &policy),
            seconds(3),
            "but not beyond the bound"
        );
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let policy = DownloadPolicy::default();
        for code in [400, 401, 403, 404, 410, 501] {
            assert_eq!(Backoff::default().after(&status(code, None), 0, &policy), None, "{code}");
        }
    }

    #[test]
    fn tries_that_make_headway_do_not_count() {
        let policy = DownloadPolicy { tries: 2, ..DownloadPolicy::default() };
        let mut backoff = Backoff::default();
        for round in 1..50 {
            assert!(backoff.after(&FetchError::Vanished, round * HEADWAY_BYTES, &policy).is_some());
        }
        // A server that always begins again makes none.
        assert!(backoff.after(&FetchError::Vanished, 20 * HEADWAY_BYTES, &policy).is_none());
    }
}
