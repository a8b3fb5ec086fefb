//! What a host is made of: subsystems, each with its own manifest, that all commands without a name of one
//! work with.
//!
//! ```text
//! bkt sync ─► Registry ─► every Subsystem ─► plan_sync ─► Plan ─┐
//!                                                               ├─► CompositePlan ─► describe, execute
//!                                          (writes nothing)     ┘                  (writes)
//! ```
//!
//! Planning and doing are apart: a plan is made without writing anything, describes itself, and is empty
//! where nothing is to be done. A subsystem knows nothing of another one: a second is added where the
//! registry is filled, and nowhere else. Tests: below, with toy subsystems.

mod composite;
mod plan;
mod registry;

use std::error::Error;
use std::fmt;

use plasmavmc_types::{ErrorKind, Explain};

pub use composite::CompositePlan;
pub use plan::{Failure, Operation, Plan, Report, Standing, Summary, Told, Verb};
pub use registry::Registry;

/// A part of a host that a manifest declares.
pub trait Subsystem {
    /// Its word on the command line and in JSON, such as `vm`.
    fn id(&self) -> &'static str;

    /// What people call it, such as "virtual machines".
    fn name(&self) -> &'static str;

    /// What would make the host as the manifest has it. Writes nothing.
    ///
    /// # Errors
    /// [`SubsystemError`] where the manifest or the host cannot be read.
    fn plan_sync(&self) -> Result<Box<dyn Plan + '_>, SubsystemError>;

    /// What would make the manifest say what the host has. Writes nothing.
    ///
    /// # Errors
    /// As [`Subsystem::plan_sync`].
    fn plan_capture(&self) -> Result<Box<dyn Plan + '_>, SubsystemError>;

    /// How each of its things stands.
    ///
    /// # Errors
    /// As [`Subsystem::plan_sync`].
    fn status(&self) -> Result<Vec<Standing>, SubsystemError>;

    /// What differs between the manifest and the host, whoever changed it.
    ///
    /// # Errors
    /// As [`Subsystem::plan_sync`].
    fn drift(&self) -> Result<Summary, SubsystemError>;
}

/// Why a subsystem could not be asked.
#[derive(Debug)]
pub struct SubsystemError {
    subsystem: &'static str,
    source: Box<dyn Explain + Send + Sync>,
}

impl SubsystemError {
    /// The failure of the subsystem of that id.
    pub fn new(subsystem: &'static str, source: impl Explain + Send + Sync + 'static) -> Self {
        Self { subsystem, source: Box::new(source) }
    }

    /// The subsystem's id.
    pub const fn subsystem(&self) -> &'static str {
        self.subsystem
    }
}

impl fmt::Display for SubsystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subsystem `{}` cannot go on", self.subsystem)
    }
}

impl Error for SubsystemError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl Explain for SubsystemError {
    fn kind(&self) -> ErrorKind {
        self.source.kind()
    }

    fn hints(&self) -> Vec<String> {
        self.source.hints()
    }
}

#[cfg(test)]
mod tests;
