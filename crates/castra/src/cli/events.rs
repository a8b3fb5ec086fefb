//! Shows events as they happen: as a timeline on standard error, or as JSON lines on standard output.
//!
//! With `--json` every line but the last is an event, known by its `event` key; the last has
//! `outcome` or `error`. A reader that went away never stops an operation half-way: it is noticed
//! when the answer is given. Tests: `tests/it/json.rs`.

use plasmavmc_term::{Stdout, Timeline};
use plasmavmc_types::Event;

/// Where events are shown.
pub(crate) struct EventView<'a> {
    to: To<'a>,
}

enum To<'a> {
    Program(&'a Stdout),
    Person(Timeline<'a>),
}

impl<'a> EventView<'a> {
    /// As JSON lines.
    pub(crate) const fn json(out: &'a Stdout) -> Self {
        Self { to: To::Program(out) }
    }

    /// As a timeline.
    pub(crate) const fn people(timeline: Timeline<'a>) -> Self {
        Self { to: To::Person(timeline) }
    }

    /// Shows an event. Called from any thread.
    pub(crate) fn show(&self, event: &Event) {
        match &self.to {
            To::Person(timeline) => timeline.event(event),
            // The answer at the end meets the same fault, and is where it counts.
            To::Program(out) => drop(out.json(event)),
        }
    }
}
