//! `castra up --wait ssh` against bare QEMU and a loop that connects until the banner comes.
//!
//! Castra's time runs from before its process is made to after it has ended; the other's from before
//! QEMU's process is made, its overlay being there already, to the banner.

use super::guest::Boot;
use super::outcome::{Goal, Line};
use super::rows::ratio;
use super::stats::Pair;

/// The line of these boots.
pub(crate) fn line(boots: &[(Boot, Boot)]) -> Line {
    let pairs: Vec<_> = boots.iter().map(|(ours, bare)| Pair { ours: ours.up, theirs: bare.up }).collect();
    ratio("`up --wait ssh`, bare QEMU and a 20 ms connect loop", &pairs, Goal::AtMost(1.03))
}
