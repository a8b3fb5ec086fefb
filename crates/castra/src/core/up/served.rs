//! That a broker serves the VMs of one `up`, once as many of them run as there are.

use std::sync::{Mutex, PoisonError};

use plasmavmc_host::Layout;

use crate::core::broker::{Ensured, Stay, ensure};
use crate::core::output::Diagnostic;
use crate::core::session::Session;

/// The broker of one `up`.
pub(super) struct Served<'a> {
    session: &'a Session,
    layout: &'a Layout,
    last: Mutex<Option<Ensured>>,
}

impl<'a> Served<'a> {
    pub(super) fn new(session: &'a Session, layout: &'a Layout) -> Self {
        Self { session, layout, last: Mutex::new(None) }
    }

    /// Tells the broker that another VM runs; starts one where there is none.
    pub(super) fn another(&self) {
        // One after the other: of two at once, the second would start a broker for nothing.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A broker that did not answer one VM is not waited for again for the next.
        if !matches!(*last, Some(Ensured::Silent | Ensured::Failed(_))) {
            *last = Some(ensure(self.session, self.layout, Stay::WithVms));
        }
    }

    /// What is worth saying about it.
    pub(super) fn diagnostic(&self) -> Option<Diagnostic> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().and_then(Ensured::diagnostic)
    }
}
