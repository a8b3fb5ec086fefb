//! Drives one VM's bootstrap, step by step, over whatever way leads into the guest.
//!
//! ```text
//! wait-handshake ─► connect ─► decide ─► stage ─► forget ─► transfer ─► apply ─► verify ─► sync ─► record
//!                                └─ unchanged: nothing else is done
//! ```
//!
//! The record of what was done is taken away before anything in the guest is changed and written after
//! everything, flushed, is there: a run that is cut short anywhere is done again by the next. Never
//! does: start or stop a VM. Tests: `run/tests.rs`, with a guest made up; `tests/it/bootstrap.rs` on
//! real ones.

use std::time::{Duration, SystemTime};

use plasmavmc_engine::{BootstrapDecision, Check, FirstStep, Staged, can_begin, decide_bootstrap};
use plasmavmc_host::{Layout, failpoint};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{BootstrapDigest, BootstrapMode, BootstrapStep, VmName};

use super::capture::{Capture, Output};
use super::digest::{BaseIdentity, digest};
use super::error::{BootstrapFailure, Ran, StepFault};
use super::guest::{Door, Ended, Guest, Program};
use super::inputs::{EntryKind, Inputs, Shape, names_interpreter, open};
use super::journal::{Journal, Note};
use super::outcome::{BootstrapOutcome, Transport};
use super::record::{self, DIR, Done, HostNote, PAYLOAD, RECORD, SCRIPT, STATE, recorded, staged};
use super::stage::Stage;
use super::tell::Teller;
use crate::config::{Bootstrap, Verify};

#[cfg(test)]
mod tests;

/// One bootstrap to be done, or found done.
pub(super) struct Job<'a> {
    pub(super) layout: &'a Layout,
    pub(super) vm: &'a VmName,
    pub(super) bootstrap: &'a Bootstrap,
    /// When it runs; the config's word, or that of the command line.
    pub(super) mode: BootstrapMode,
    pub(super) first: FirstStep,
    /// How long the guest may take to answer; each other step has the time of the config.
    pub(super) handshake: Duration,
    pub(super) inputs: &'a Inputs,
    pub(super) base: BaseIdentity,
    pub(super) sink: &'a dyn EventSink,
}

/// Does it.
///
/// # Errors
/// [`BootstrapFailure`], with the step it failed at.
pub(super) fn run(job: &Job<'_>, door: &mut dyn Door) -> Result<BootstrapOutcome, Box<BootstrapFailure>> {
    let journal = Journal::new(job.layout, job.vm);
    let mut tell = Teller::new(job.vm, job.sink, journal);
    let castra = env!("CARGO_PKG_VERSION");
    tell.journal.note(&Note::Run { vm: job.vm, mode: job.mode, castra });
    let limit = job.bootstrap.timeout;
    let transport = tell.step(BootstrapStep::WaitHandshake, |tell| {
        let transport = door.wait(job.handshake)?;
        if transport == Transport::Ssh {
            tell.remark("no agent answers, ssh leads into the guest");
        }
        Ok(transport)
    })?;
    failpoint::hit("bootstrap.reachable");
    let (mut way, decided) = tell.step(BootstrapStep::Connect, |_| {
        let mut way = door.open(limit)?;
        let decided = job.decide(&mut *way, transport)?;
        Ok((way, decided))
    })?;
    tell.journal.note(&Note::Decided { transport, digest: &decided.digest, decision: decided.decision });
    if let BootstrapDecision::Skip(reason) = decided.decision {
        for step in [BootstrapStep::Transfer, BootstrapStep::Apply, BootstrapStep::Verify] {
            tell.skipped(step, &reason.to_string());
        }
        return Ok(job.outcome(&decided, tell));
    }
    let mut driver = Driver {
        job,
        guest: &mut *way,
        digest: decided.digest,
        staged: decided.staged,
        step: BootstrapStep::Transfer,
        names_interpreter: None,
    };
    driver.drive(&mut tell)?;
    let decided = Decided { digest: driver.digest, staged: driver.staged, ..decided };
    Ok(job.outcome(&decided, tell))
}

/// What was found in a guest, and what follows.
struct Decided {
    transport: Transport,
    digest: BootstrapDigest,
    decision: BootstrapDecision,
    staged: Option<Staged>,
}

impl Job<'_> {
    fn decide(&self, guest: &mut dyn Guest, transport: Transport) -> Result<Decided, StepFault> {
        guest.bound(self.bootstrap.timeout);
        let digest = digest(self.bootstrap, self.inputs, &self.base)?;
        let recorded = recorded(guest.read(RECORD)?.as_deref());
        let staged = match self.first {
            FirstStep::Transfer => None,
            FirstStep::Apply | FirstStep::Verify => staged(guest.read(STATE)?.as_deref()),
        };
        let decision = decide_bootstrap(self.mode, &digest, &recorded);
        Ok(Decided { transport, decision, digest, staged })
    }

    fn outcome(&self, decided: &Decided, tell: Teller<'_>) -> BootstrapOutcome {
        BootstrapOutcome {
            vm: self.vm.clone(),
            decision: decided.decision,
            transport: decided.transport,
            digest: decided.digest.clone(),
            log: tell.journal.path().map(ToOwned::to_owned),
            steps: tell.steps,
        }
    }

    fn check(&self) -> Check {
        if self.bootstrap.verify.is_some() { Check::Program } else { Check::None }
    }

    /// What every program of this bootstrap finds in its environment.
    fn env(&self) -> Vec<(String, String)> {
        let mut env: Vec<_> =
            self.bootstrap.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        env.push(("CASTRA_VM".to_owned(), self.vm.to_string()));
        if let Some(payload) = &self.inputs.payload {
            let path = match (payload.shape, payload.entries.first()) {
                (Shape::File, Some(entry)) => format!("{PAYLOAD}/{}", entry.path),
                _ => PAYLOAD.to_owned(),
            };
            env.push(("CASTRA_PAYLOAD".to_owned(), path));
        }
        env
    }
}

/// A bootstrap at work in a guest.
struct Driver<'a, 'g> {
    job: &'a Job<'a>,
    guest: &'g mut dyn Guest,
    /// Of what lies in the guest, or is about to.
    digest: BootstrapDigest,
    staged: Option<Staged>,
    /// The step at work.
    step: BootstrapStep,
    /// Whether the script that was moved names its own interpreter; none where none was moved.
    names_interpreter: Option<bool>,
}

impl Driver<'_, '_> {
    /// The steps that change something.
    fn drive(&mut self, tell: &mut Teller<'_>) -> Result<(), Box<BootstrapFailure>> {
        let first = self.job.first;
        for step in [BootstrapStep::Transfer, BootstrapStep::Apply, BootstrapStep::Verify] {
            if !first.includes(step) {
                tell.skipped(step, &format!("to begin at {}", first.as_str()));
                continue;
            }
            self.step = step;
            if step == BootstrapStep::Verify && self.job.bootstrap.verify.is_none() {
                self.note_unverified(tell)?;
                continue;
            }
            tell.step(step, |tell| {
                tell.journal.keep()?;
                self.guest.bound(self.job.bootstrap.timeout);
                match step {
                    BootstrapStep::Transfer => self.transfer(tell),
                    BootstrapStep::Apply => self.apply(tell),
                    _ => self.verify(tell).and_then(|()| self.note(tell)),
                }
            })?;
        }
        Ok(())
    }

    /// Takes away what says that anything was done, and makes room.
    fn transfer(&mut self, tell: &mut Teller<'_>) -> Result<(), StepFault> {
        let stage = Stage::fill(self.job.layout, self.job.vm, self.job.inputs)?;
        // Of what is moved, not of what was there when it was decided: files change.
        self.digest = digest(self.job.bootstrap, &stage.inputs, &self.job.base)?;
        self.forget(tell)?;
        self.prepare(tell, &format!("rm -rf {DIR} && mkdir -p -m 0700 {DIR} && mkdir -m 0755 {PAYLOAD}"))?;
        failpoint::hit("bootstrap.cleared");
        self.names_interpreter = Some(names_interpreter(&stage.inputs.script)?);
        self.guest.send(SCRIPT, 0o700, None, &open(&stage.inputs.script)?)?;
        for entry in stage.inputs.payload.iter().flat_map(|payload| &payload.entries) {
            let target = format!("{PAYLOAD}/{}", entry.path);
            match &entry.kind {
                EntryKind::Directory => self.guest.make_dir(&target, entry.mode)?,
                EntryKind::Link(to) => self.guest.link(&target, to)?,
                EntryKind::File => {
                    let source = stage.inputs.payload.as_ref().map(|payload| payload.source(entry));
                    let file = open(&source.unwrap_or_default())?;
                    self.guest.send(&target, entry.mode, Some(entry.modified_s), &file)?;
                }
            }
        }
        self.put_state(false)?;
        failpoint::hit("bootstrap.transferred");
        Ok(())
    }

    fn apply(&mut self, tell: &mut Teller<'_>) -> Result<(), StepFault> {
        self.may_begin(FirstStep::Apply)?;
        self.forget(tell)?;
        // What an earlier run of it reached is not what this one does. Nothing is written where nothing is to
        // be taken back: the script may be what makes room.
        if self.staged.as_ref().is_some_and(|staged| staged.applied) {
            self.put_state(false)?;
        }
        failpoint::hit("bootstrap.applying");
        let direct = self.names_interpreter.map_or_else(|| names_interpreter(&self.job.inputs.script), Ok)?;
        let argv = match direct {
            true => vec![SCRIPT.to_owned()],
            false => vec!["sh".to_owned(), SCRIPT.to_owned()],
        };
        self.program(tell, Ran::Script, argv)?;
        self.put_state(true)?;
        failpoint::hit("bootstrap.applied");
        Ok(())
    }

    fn verify(&mut self, tell: &mut Teller<'_>) -> Result<(), StepFault> {
        self.may_begin(FirstStep::Verify)?;
        self.forget(tell)?;
        let argv = match &self.job.bootstrap.verify {
            None => return Ok(()),
            Some(Verify::Shell(line)) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            Some(Verify::Program(words)) => words.clone(),
        };
        self.program(tell, Ran::Verify, argv)
    }

    /// Without a check the last step has only its note to write, which can fail all the same.
    fn note_unverified(&mut self, tell: &mut Teller<'_>) -> Result<(), Box<BootstrapFailure>> {
        self.guest.bound(self.job.bootstrap.timeout);
        let noted = match self.may_begin(FirstStep::Verify) {
            Ok(()) => self.note(tell),
            Err(fault) => Err(fault),
        };
        match noted {
            Ok(()) => {
                tell.skipped(BootstrapStep::Verify, "there is no `verify`: the script's word is taken");
                Ok(())
            }
            Err(fault) => tell.step(BootstrapStep::Verify, |_| Err(fault)),
        }
    }

    /// Notes that all is done: on the guest's disk once everything before it is there, then here.
    fn note(&mut self, tell: &mut Teller<'_>) -> Result<(), StepFault> {
        self.prepare(tell, "sync")?;
        let done = Done { digest: self.digest.clone(), at: SystemTime::now().into() };
        let text = serde_json::to_vec(&done).expect("plain values serialise");
        failpoint::hit("bootstrap.verified");
        self.guest.write(RECORD, 0o644, &text)?;
        self.prepare(tell, "sync")?;
        let log = tell.journal.path().map(ToOwned::to_owned);
        Ok(record::note(self.job.layout, self.job.vm, &HostNote { done, log })?)
    }

    /// Takes the notes away that say what was done on this disk.
    fn forget(&mut self, tell: &mut Teller<'_>) -> Result<(), StepFault> {
        record::forget(self.job.layout, self.job.vm)?;
        // On the disk, before anything is changed: a guest that crashes would find it again.
        self.prepare(tell, &format!("rm -f {RECORD} && sync"))
    }

    /// Whether what this step needs lies in the guest. A step before it sees to that.
    fn may_begin(&self, first: FirstStep) -> Result<(), StepFault> {
        let check = self.job.check();
        can_begin(first, &self.digest, self.staged.as_ref(), check).map_err(StepFault::CannotResume)
    }

    fn put_state(&mut self, applied: bool) -> Result<(), StepFault> {
        let staged = Staged { digest: self.digest.clone(), applied };
        let text = serde_json::to_vec(&staged).expect("plain values serialise");
        self.guest.write(STATE, 0o600, &text)?;
        self.staged = Some(staged);
        Ok(())
    }

    /// Runs a line of the guest's shell that makes room or flushes.
    fn prepare(&mut self, tell: &mut Teller<'_>, line: &str) -> Result<(), StepFault> {
        let argv = vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()];
        let program = Program { argv, env: Vec::new(), cwd: Some("/".to_owned()) };
        self.run_program(tell, Ran::Preparation, &program)
    }

    /// Runs a program of the bootstrap's own.
    fn program(&mut self, tell: &mut Teller<'_>, what: Ran, argv: Vec<String>) -> Result<(), StepFault> {
        let program = Program { argv, env: self.job.env(), cwd: Some(PAYLOAD.to_owned()) };
        self.run_program(tell, what, &program)
    }

    fn run_program(&mut self, tell: &mut Teller<'_>, what: Ran, program: &Program) -> Result<(), StepFault> {
        let (step, mut capture) = (self.step, Capture::default());
        let ended = self.guest.run(program, &mut |from: Output, bytes| {
            tell.output(step, &mut capture, from, bytes);
        });
        tell.output_ended(step, capture);
        match ended? {
            Ended::Exited(0) => Ok(()),
            Ended::Exited(code) => Err(StepFault::Exited { what, code }),
            Ended::Signaled(signal) => Err(StepFault::Signaled { what, signal }),
        }
    }
}
