//! How much a guest may say in a time: token buckets. Pure. Tests: below.
//!
//! What a stream carries is granted byte by byte and costs nothing here. Everything else a guest
//! sends does, so that one that floods is read no faster than this.

/// An allowance that fills up with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Thousandths that are there; below zero, that are owed.
    level: i64,
    burst: i64,
    per_second: i64,
    at_ms: u64,
}

impl Bucket {
    /// A full one of `burst`, that `per_second` fill again.
    pub const fn new(burst: u32, per_second: u32, now_ms: u64) -> Self {
        let burst = burst as i64 * 1_000;
        Self { level: burst, burst, per_second: per_second as i64, at_ms: now_ms }
    }

    /// Takes `amount` where it is there, and tells whether it was.
    #[must_use]
    pub fn take(&mut self, amount: u64, now_ms: u64) -> bool {
        self.fill(now_ms);
        let amount = thousandths(amount);
        let enough = self.level >= amount;
        if enough {
            self.level -= amount;
        }
        enough
    }

    /// Takes `amount` whether it is there or not; tells in how many milliseconds nothing is owed.
    pub fn owe(&mut self, amount: u64, now_ms: u64) -> u64 {
        self.fill(now_ms);
        self.level = self.level.saturating_sub(thousandths(amount));
        let owed = u64::try_from(-self.level).unwrap_or_default();
        owed.div_ceil(u64::try_from(self.per_second).unwrap_or_default().max(1))
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed = i64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.per_second)).min(self.burst);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

fn thousandths(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// What a guest may say beside its streams: frames, and their bytes.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    frames: Bucket,
    bytes: Bucket,
    held_until_ms: u64,
    flooded_until_ms: u64,
}

impl Meter {
    /// Frames a second; a guest's programs rarely publish a tenth of it.
    const FRAMES: u32 = 2_000;
    /// Bytes a second.
    const BYTES: u32 = 4 << 20;
    /// The least time a guest that said too much is not read.
    const HOLD_MS: u64 = 200;
    /// How long it is then shown as one that floods.
    const SHOWN_MS: u64 = 10_000;

    /// A meter that has counted nothing.
    pub const fn new(now_ms: u64) -> Self {
        Self {
            frames: Bucket::new(2 * Self::FRAMES, Self::FRAMES, now_ms),
            bytes: Bucket::new(2 * Self::BYTES, Self::BYTES, now_ms),
            held_until_ms: 0,
            flooded_until_ms: 0,
        }
    }

    /// Counts what was said.
    pub fn count(&mut self, frames: u64, bytes: u64, now_ms: u64) {
        let owed = self.frames.owe(frames, now_ms).max(self.bytes.owe(bytes, now_ms));
        if owed > 0 {
            self.held_until_ms = now_ms + owed.max(Self::HOLD_MS);
            self.flooded_until_ms = self.held_until_ms + Self::SHOWN_MS;
        }
    }

    /// Until when the guest is not to be read; none where it may be.
    pub fn held_until(&self, now_ms: u64) -> Option<u64> {
        (self.held_until_ms > now_ms).then_some(self.held_until_ms)
    }

    /// Whether it said too much lately.
    pub fn is_flooded(&self, now_ms: u64) -> bool {
        self.flooded_until_ms > now_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken_comes_back_with_time() {
        let mut bucket = Bucket::new(10, 5, 0);
        assert!(bucket.take(10, 0) && !bucket.take(1, 0));
        assert!(!bucket.take(1, 199) && bucket.take(1, 200));
        assert!(bucket.take(10, 60_000) && !bucket.take(1, 60_000));
    }

    #[test]
    fn a_guest_that_floods_is_held_and_shown_for_a_while() {
        let mut meter = Meter::new(0);
        meter.count(10, 1_000, 0);
        assert_eq!((meter.held_until(0), meter.is_flooded(0)), (None, false));
        meter.count(u64::from(3 * Meter::FRAMES), 0, 0);
        let until = meter.held_until(0).expect("it is held");
        assert!((Meter::HOLD_MS..2_000).contains(&until), "{until}");
        assert_eq!(meter.held_until(until), None);
        assert!(meter.is_flooded(until) && !meter.is_flooded(until + Meter::SHOWN_MS));
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_is_ever_taken(
            steps in prop::collection::vec((0..50_u64, 0..500_u64), 1..100),
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::new(100, 50, 0), 0, 0);
            for (amount, pause) in steps {
                now += pause;
                taken += if bucket.take(amount, now) { amount } else { 0 };
                prop_assert!(taken * 1_000 <= 100_000 + 50 * now);
            }
        }
    }
}
