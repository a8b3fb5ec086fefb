//! Tells what a bootstrap does: each step as an event and as a line of the run's log, and the output of
//! what it runs. Tests: with the driver.

use std::collections::VecDeque;
use std::time::Instant;

use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{BootstrapStep, EventKind, StepStatus, VmName};
use schemars::JsonSchema;
use serde::Serialize;

use super::capture::{Capture, Output, Piece};
use super::error::{BootstrapFailure, StepFault};
use super::journal::{Journal, Note};
use crate::core::logs::readable;

/// The last lines a failure shows.
const LAST_LINES: usize = 8;

/// How one step of a bootstrap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepOutcome {
    /// The step.
    pub step: BootstrapStep,
    /// How it ended.
    pub status: StepStatus,
    /// Time it took, in milliseconds.
    pub duration_ms: u64,
    /// What the program ended with that it ran; null where it ran none to its end.
    pub exit_code: Option<i32>,
}

/// Who tells.
pub(super) struct Teller<'a> {
    pub(super) vm: &'a VmName,
    pub(super) sink: &'a dyn EventSink,
    pub(super) journal: Journal,
    pub(super) steps: Vec<StepOutcome>,
    last_lines: VecDeque<String>,
    /// What is worth saying of the step at work once it is done.
    remark: Option<&'static str>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(vm: &'a VmName, sink: &'a dyn EventSink, journal: Journal) -> Self {
        Self { vm, sink, journal, steps: Vec::new(), last_lines: VecDeque::new(), remark: None }
    }

    /// Says something of the step at work, once it is done.
    pub(super) fn remark(&mut self, remark: &'static str) {
        self.remark = Some(remark);
    }

    /// Does a step, and tells how it began and ended.
    pub(super) fn step<T>(
        &mut self,
        step: BootstrapStep,
        work: impl FnOnce(&mut Self) -> Result<T, StepFault>,
    ) -> Result<T, Box<BootstrapFailure>> {
        let begun = Instant::now();
        self.last_lines.clear();
        self.remark = None;
        self.tell(step, StepStatus::Started, None, None, None);
        let result = work(self);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(value) => {
                let ran = matches!(step, BootstrapStep::Apply | BootstrapStep::Verify);
                let remark = self.remark.take();
                self.ended(step, StepStatus::Ok, duration_ms, ran.then_some(0), remark);
                Ok(value)
            }
            Err(fault) => {
                let reason = fault.reason();
                self.ended(step, StepStatus::Failed, duration_ms, fault.exit_code(), Some(&reason));
                // A run that failed before anything was decided is worth a log too.
                let _ = self.journal.keep();
                Err(Box::new(BootstrapFailure {
                    vm: self.vm.clone(),
                    step,
                    fault,
                    last_lines: std::mem::take(&mut self.last_lines).into(),
                    log: self.journal.path().map(ToOwned::to_owned),
                }))
            }
        }
    }

    /// Tells that a step had nothing to do.
    pub(super) fn skipped(&mut self, step: BootstrapStep, reason: &str) {
        self.ended(step, StepStatus::Skipped, 0, None, Some(reason));
    }

    fn ended(
        &mut self,
        step: BootstrapStep,
        status: StepStatus,
        duration_ms: u64,
        exit_code: Option<i32>,
        reason: Option<&str>,
    ) {
        self.steps.push(StepOutcome { step, status, duration_ms, exit_code });
        self.tell(step, status, Some(duration_ms), exit_code, reason);
    }

    fn tell(
        &mut self,
        step: BootstrapStep,
        status: StepStatus,
        duration_ms: Option<u64>,
        exit_code: Option<i32>,
        reason: Option<&str>,
    ) {
        self.journal.note(&Note::Step { step, status, duration_ms, exit_code, reason });
        let reason = reason.map(readable_text);
        let event = EventKind::BootstrapStep { step, status, duration_ms, exit_code, reason };
        self.sink.emit(Some(self.vm), event);
    }

    /// Takes what a program of `step` writes.
    pub(super) fn output(&mut self, step: BootstrapStep, capture: &mut Capture, from: Output, bytes: &[u8]) {
        let journal = &mut self.journal;
        capture.push(from, bytes, &mut |piece| journal.output(step, &piece));
    }

    /// Takes the rest of it, and keeps the last lines for whoever asks.
    pub(super) fn output_ended(&mut self, step: BootstrapStep, capture: Capture) {
        self.last_lines = capture.last_lines(LAST_LINES).into_iter().map(|line| readable(&line)).collect();
        let journal = &mut self.journal;
        capture.finish(&mut |piece: Piece| journal.output(step, &piece));
    }
}

fn readable_text(text: &str) -> String {
    readable(text.as_bytes())
}
