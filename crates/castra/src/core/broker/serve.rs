//! The broker's process: takes the lock, serves, and tells what happens.

use std::collections::BTreeMap;
use std::thread;

use plasmavmc_guest::broker::{Broker, BrokerConfig, Lifetime};
use plasmavmc_guest::presence::Presence;
use plasmavmc_host::Layout;
use plasmavmc_kvm::JournalWatch;
use schemars::JsonSchema;
use serde::Serialize;

use super::Stay;
use super::vms::WorkspaceVms;
use crate::config;
use crate::core::error::Error;
use crate::core::mounts::Remounts;
use crate::core::output::OperationOutput;
use crate::core::recorder::{Observer, Recorder};
use crate::core::session::Session;
use crate::core::workspace::WorkspaceRecord;

/// What a broker is told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The workspace's root.
    pub root: std::path::PathBuf,
    /// How long it shall stay.
    pub stay: Stay,
}

/// What a broker did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServeOutcome {
    /// It served until it was not needed any more.
    Served,
    /// Another one serves the workspace.
    Another,
}

/// Serves a workspace's guest channels until no VM lives.
///
/// # Errors
/// [`Error`] where the lock, the socket or the directories cannot be used.
pub fn serve(
    session: &Session,
    options: &ServeOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<ServeOutcome>, Error> {
    let layout = Layout::new(&options.root);
    let Some(_presence) = Presence::claim(&layout)? else {
        return Ok(OperationOutput::new(ServeOutcome::Another));
    };
    let recorder = Recorder::new(&layout, observer);
    let config = BrokerConfig {
        layout: layout.clone(),
        lifetime: match options.stay {
            Stay::WithVms => Lifetime::WithVms,
            Stay::UntilDown => Lifetime::UntilRetired,
        },
        window_ms: window_ms(session, &layout),
    };
    let remounts = Remounts::new(&layout, &recorder);
    let journals = JournalWatch::new(layout.clone())?;
    thread::scope(|scope| {
        let (layout, sink, remounts) = (layout.clone(), &recorder, &remounts);
        let allowed = BTreeMap::new();
        let vms = WorkspaceVms { session, layout, sink, journals, remounts, scope, allowed };
        Broker::new(vms, config)?.run()
    })?;
    Ok(OperationOutput::new(ServeOutcome::Served))
}

/// The freshness window of the last `up`.
fn window_ms(session: &Session, layout: &Layout) -> u64 {
    let snapshot = std::fs::read_to_string(layout.config_snapshot()).ok();
    let record = WorkspaceRecord::read(layout).ok().flatten();
    let project = snapshot.zip(record).and_then(|(text, record)| {
        config::from_snapshot(&text, &record.workspace.config, &session.dirs).ok()
    });
    project.map(|project| project.channel).unwrap_or_default().freshness_window_ms()
}
