//! Waiting for what another thread, process or guest brings about: look, rest, look again, never for ever.
//!
//! Tests: below.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// How long [`eventually`] waits: the machines tests run on are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// The rest between two looks.
const REST: Duration = Duration::from_millis(5);

/// Looks until something is found. An error of `look` tells what is missing still.
///
/// # Panics
/// Where it is not found within `bound`, with what was missing at the last look.
#[track_caller]
pub fn until<T, E: Display>(bound: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + bound;
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < end, "not within {bound:?}: {missing}"),
        }
        thread::sleep(REST);
    }
}

/// Waits until `holds`, a minute at most; `what` names it.
///
/// # Panics
/// Where it never does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(PATIENCE, || holds().then_some(()).ok_or(what));
}

/// Demands that `holds` at every look for all of `time`; `what` names it. For what must not come: it
/// proves little where nothing could have come anyway, so let the test show later that it does.
///
/// # Panics
/// At the first look at which it does not.
#[track_caller]
pub fn throughout(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        assert!(holds(), "{what}: no more after {:?}", begun.elapsed());
        thread::sleep(REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_waited_for_and_handed_over() {
        let mut looks = 0;
        let found = until(PATIENCE, || {
            looks += 1;
            if looks < 3 { Err("not yet") } else { Ok(looks) }
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "not within 20ms: look 2")]
    fn what_never_comes_fails_with_the_last_look() {
        let mut looks = 0;
        until(Duration::from_millis(20), || {
            looks += 1;
            Err::<(), _>(format!("look {}", looks.min(2)))
        });
    }

    #[test]
    #[should_panic(expected = "it stays: no more after")]
    fn what_must_not_come_fails_when_it_does() {
        let mut looks = 0;
        throughout(PATIENCE, "it stays", || {
            looks += 1;
            looks < 3
        });
    }
}
