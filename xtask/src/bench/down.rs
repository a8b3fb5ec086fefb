//! `castra down` against the same power button over bare QMP.
//!
//! Castra's time is its command's, the discarded overlay and the records included; the other's runs
//! from connecting to QMP to the end of QEMU.

use super::guest::Boot;
use super::outcome::{Goal, Line};
use super::rows::extra;
use super::stats::Pair;

/// The line of these boots.
pub(crate) fn line(boots: &[(Boot, Boot)]) -> Line {
    let pairs: Vec<_> =
        boots.iter().map(|(ours, bare)| Pair { ours: ours.down, theirs: bare.down }).collect();
    extra("`down`, powerdown over bare QMP: how much longer", &pairs, Goal::AtMost(100.0))
}
