//! What every command works with: its voice, and where things are.

use std::path::PathBuf;

use plasmavmc_cli::{Voice, current_dir};
use plasmavmc_term::Width;
use serde::Serialize;

use super::args::GlobalArgs;
use super::error::CliError;
use crate::env::UserDirs;
use crate::vm::Place;

/// What every command works with.
pub(crate) struct Face<'a> {
    pub(crate) voice: &'a Voice,
    manifest: Option<PathBuf>,
    connect: Option<String>,
}

impl<'a> Face<'a> {
    /// The face of this process.
    pub(crate) fn new(args: &GlobalArgs, voice: &'a Voice) -> Self {
        Self { voice, manifest: args.manifest.clone(), connect: args.connect.clone() }
    }

    /// Where the VMs are declared, and which libvirt has them.
    pub(crate) fn place(&self) -> Result<Place, CliError> {
        Ok(Place {
            current_dir: current_dir()?,
            dirs: UserDirs::from_process()?,
            manifest: self.manifest.clone(),
            connect: self.connect.clone(),
        })
    }

    /// Gives the answer: as one line of JSON, or as text.
    pub(crate) fn answer<T: Serialize>(
        &self,
        outcome: &T,
        render: impl FnOnce(&T, Width) -> String,
    ) -> Result<(), CliError> {
        Ok(self.voice.answer(outcome, |outcome| render(outcome, self.voice.out.width()))?)
    }
}
