//! The driver over a guest made up: a map of files and what its programs do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use plasmavmc_engine::{RunReason, SkipReason};
use plasmavmc_types::{EventKind, StepStatus};

use super::super::guest::GuestFault;
use super::super::inputs::tests::{bootstrap, project};
use super::*;

/// Events as `step status`.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl EventSink for Told {
    fn emit(&self, vm: Option<&VmName>, kind: EventKind) {
        let EventKind::BootstrapStep { step, status, exit_code, .. } = kind else { panic!("{kind:?}") };
        assert_eq!(vm.map(VmName::as_str), Some("web"));
        let status = serde_json::to_value(status).unwrap();
        let code = exit_code.map(|code| format!(" {code}")).unwrap_or_default();
        self.0.lock().unwrap().push(format!("{step} {}{code}", status.as_str().unwrap()));
    }
}

/// A guest's disk, and what happens in it.
#[derive(Default)]
struct Disk {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    /// What the script ends with; none where the guest goes away under it.
    script: Cell<Option<i32>>,
    verify: Cell<i32>,
    ran: RefCell<Vec<Program>>,
    /// The request that fails because the disk is full.
    full_at: Cell<Option<usize>>,
    requests: Cell<usize>,
}

impl Disk {
    fn new() -> Self {
        Self { script: Cell::new(Some(0)), ..Self::default() }
    }

    fn has(&self, path: &str) -> bool {
        self.files.borrow().contains_key(path)
    }

    fn request(&self) -> Result<(), GuestFault> {
        self.requests.set(self.requests.get() + 1);
        match self.full_at.get() {
            Some(at) if self.requests.get() >= at => Err(GuestFault::Stopped),
            _ => Ok(()),
        }
    }
}

struct FakeDoor<'d>(&'d Disk);
struct FakeGuest<'d>(&'d Disk);

impl Door for FakeDoor<'_> {
    fn wait(&mut self, _: Duration) -> Result<Transport, GuestFault> {
        Ok(Transport::Channel)
    }

    fn open(&mut self, _: Duration) -> Result<Box<dyn Guest + '_>, GuestFault> {
        Ok(Box::new(FakeGuest(self.0)))
    }
}

impl Guest for FakeGuest<'_> {
    fn bound(&mut self, _: Duration) {}

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GuestFault> {
        Ok(self.0.files.borrow().get(path).cloned())
    }

    fn write(&mut self, path: &str, _: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        self.0.request()?;
        self.0.files.borrow_mut().insert(path.to_owned(), bytes.to_owned());
        Ok(())
    }

    fn send(&mut self, path: &str, mode: u32, _: Option<i64>, mut file: &File) -> Result<(), GuestFault> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        self.write(path, mode, &bytes)
    }

    fn make_dir(&mut self, _: &str, _: u32) -> Result<(), GuestFault> {
        self.0.request()
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), GuestFault> {
        self.write(path, 0, target.as_bytes())
    }

    fn run(&mut self, program: &Program, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended, GuestFault> {
        self.0.request()?;
        let line = program.argv.join(" ");
        if line == "sync" || line == "sh -c sync" {
            return Ok(Ended::Exited(0));
        }
        if let Some(line) = line.strip_prefix("sh -c rm ") {
            let mut files = self.0.files.borrow_mut();
            match line.starts_with("-rf") {
                true => files.retain(|path, _| !path.starts_with(&format!("{DIR}/"))),
                false => {
                    assert!(line.ends_with(" && sync"), "a crash brings the record back: {line}");
                    drop(files.remove(RECORD));
                }
            }
            return Ok(Ended::Exited(0));
        }
        self.0.ran.borrow_mut().push(program.clone());
        if line.contains(SCRIPT) {
            assert!(!self.0.has(RECORD), "the record was there while the script ran");
            output(Output::Stdout, b"one\ntwo\n");
            output(Output::Stderr, b"three");
            return self.0.script.get().map(Ended::Exited).ok_or(GuestFault::Stopped);
        }
        Ok(Ended::Exited(self.0.verify.get()))
    }
}

/// A project, its workspace, and a VM with a disk.
struct World {
    project: tempfile::TempDir,
    root: tempfile::TempDir,
    config: Bootstrap,
    disk: Disk,
}

impl World {
    fn new(verify: Option<&str>) -> Self {
        let project = project();
        let verify = verify.map(|line| Verify::Shell(line.to_owned()));
        let config = Bootstrap { verify, ..bootstrap(project.path(), Some("dist")) };
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("metadata")).unwrap();
        fs::create_dir_all(root.path().join("logs")).unwrap();
        Self { project, root, config, disk: Disk::new() }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.root.path())
    }

    fn attempt(
        &self,
        mode: BootstrapMode,
        first: FirstStep,
    ) -> (Vec<String>, Result<BootstrapOutcome, Box<BootstrapFailure>>) {
        let (layout, vm, told) = (self.layout(), "web".parse().unwrap(), Told::default());
        let inputs = Inputs::look(&self.config).unwrap();
        let base = BaseIdentity::none();
        let job = Job {
            layout: &layout,
            vm: &vm,
            bootstrap: &self.config,
            mode,
            first,
            handshake: Duration::from_secs(5),
            inputs: &inputs,
            base,
            sink: &told,
        };
        let result = run(&job, &mut FakeDoor(&self.disk));
        assert!(!layout.bootstrap_stage(&vm).exists(), "the staging area was left behind");
        (told.0.into_inner().unwrap(), result)
    }

    fn auto(&self) -> (Vec<String>, Result<BootstrapOutcome, Box<BootstrapFailure>>) {
        self.attempt(BootstrapMode::Auto, FirstStep::Transfer)
    }

    fn decision(&self) -> BootstrapDecision {
        self.auto().1.unwrap().decision
    }
}

const DONE: [&str; 10] = [
    "wait-handshake started",
    "wait-handshake ok",
    "connect started",
    "connect ok",
    "transfer started",
    "transfer ok",
    "apply started",
    "apply ok 0",
    "verify started",
    "verify ok 0",
];

#[test]
fn a_bootstrap_that_is_new_is_done_and_the_same_once_more_is_not() {
    let world = World::new(Some("true"));
    let (told, outcome) = world.auto();
    let outcome = outcome.unwrap();
    assert_eq!(told, DONE);
    assert_eq!(outcome.decision, BootstrapDecision::Run(RunReason::NeverDone));
    assert!(outcome.log.is_some() && world.disk.has(RECORD));
    let moved = ["bin.conf", "bin/web", "link"].map(|name| world.disk.has(&format!("{PAYLOAD}/{name}")));
    assert_eq!(moved, [true; 3]);
    let (told, again) = world.auto();
    let again = again.unwrap();
    assert_eq!(again.decision, BootstrapDecision::Skip(SkipReason::Unchanged));
    assert_eq!(told[4..], ["transfer skipped", "apply skipped", "verify skipped"]);
    assert_eq!((again.digest, again.log), (outcome.digest, None), "a run that was none has a log");
    assert_eq!(world.disk.ran.borrow().len(), 2, "the script and its check, once each");
}

#[test]
fn a_change_runs_and_so_does_a_record_that_cannot_be_read() {
    let world = World::new(None);
    world.auto().1.unwrap();
    fs::write(world.project.path().join("bootstrap.sh"), "echo ho\n").unwrap();
    assert_eq!(world.decision(), BootstrapDecision::Run(RunReason::Changed));
    assert_eq!(world.decision(), BootstrapDecision::Skip(SkipReason::Unchanged));
    world.disk.files.borrow_mut().insert(RECORD.to_owned(), b"{".to_vec());
    assert_eq!(world.decision(), BootstrapDecision::Run(RunReason::Unreadable));
    world.disk.files.borrow_mut().remove(RECORD);
    assert_eq!(world.decision(), BootstrapDecision::Run(RunReason::NeverDone));
    let always = world.attempt(BootstrapMode::Always, FirstStep::Transfer).1.unwrap();
    assert_eq!(always.decision, BootstrapDecision::Run(RunReason::Always));
}

#[test]
fn the_script_finds_its_variables_its_payload_and_its_vm() {
    let world = World::new(Some("test -e x"));
    world.auto().1.unwrap();
    let ran = world.disk.ran.borrow();
    let of = |name: &str, program: &Program| {
        program.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    assert_eq!(ran[0].argv, ["sh", SCRIPT], "a script without an interpreter is the shell's");
    assert_eq!(ran[1].argv, ["sh", "-c", "test -e x"]);
    for program in ran.iter() {
        assert_eq!(of("PORT", program).as_deref(), Some("80"));
        assert_eq!(of("CASTRA_VM", program).as_deref(), Some("web"));
        assert_eq!(of("CASTRA_PAYLOAD", program).as_deref(), Some(PAYLOAD));
        assert_eq!(program.cwd.as_deref(), Some(PAYLOAD));
    }
}

#[test]
fn a_script_that_fails_says_how_and_leaves_no_record() {
    let world = World::new(Some("true"));
    world.auto().1.unwrap();
    fs::write(world.project.path().join("bootstrap.sh"), "exit 3\n").unwrap();
    world.disk.script.set(Some(3));
    let (told, failure) = world.auto();
    let failure = failure.unwrap_err();
    assert_eq!(told[6..], ["apply started", "apply failed 3"]);
    assert_eq!((failure.step, failure.fault.exit_code()), (BootstrapStep::Apply, Some(3)));
    assert_eq!(failure.last_lines, ["one", "two", "three"]);
    let log = fs::read_to_string(failure.log.unwrap()).unwrap();
    assert!(log.contains(r#""text":"two""#) && log.contains(r#""exit_code":3"#), "{log}");
    assert!(!world.disk.has(RECORD));
    // The old script back again: its record is gone with what the new one did to it.
    fs::write(world.project.path().join("bootstrap.sh"), "echo hi\n").unwrap();
    world.disk.script.set(Some(0));
    assert_eq!(world.decision(), BootstrapDecision::Run(RunReason::NeverDone));
}

#[test]
fn a_check_that_fails_leaves_no_record_and_can_be_repeated_alone() {
    let world = World::new(Some("true"));
    world.disk.verify.set(1);
    let (told, failure) = world.auto();
    assert_eq!(told[8..], ["verify started", "verify failed 1"]);
    assert_eq!(failure.unwrap_err().to_string(), "the bootstrap of VM `web` failed at verify");
    assert!(!world.disk.has(RECORD));
    world.disk.verify.set(0);
    let (told, outcome) = world.attempt(BootstrapMode::Always, FirstStep::Verify);
    assert!(outcome.is_ok() && world.disk.has(RECORD));
    assert_eq!(told[4..], ["transfer skipped", "apply skipped", "verify started", "verify ok 0"]);
}

#[test]
fn a_bootstrap_does_not_begin_in_the_middle_of_another() {
    let world = World::new(None);
    let begin = |first| world.attempt(BootstrapMode::Always, first).1.map(drop);
    let fault = |result: Result<(), Box<BootstrapFailure>>| match result.unwrap_err().fault {
        StepFault::CannotResume(why) => why,
        other => panic!("{other:?}"),
    };
    use plasmavmc_engine::CannotResume;
    assert_eq!(fault(begin(FirstStep::Apply)), CannotResume::NothingStaged);
    world.disk.script.set(Some(1));
    assert!(begin(FirstStep::Transfer).is_err());
    assert_eq!(fault(begin(FirstStep::Verify)), CannotResume::NotApplied);
    world.disk.script.set(Some(0));
    begin(FirstStep::Apply).unwrap();
    begin(FirstStep::Verify).unwrap();
    // The script did well before, and now it does not.
    world.disk.script.set(Some(1));
    assert!(begin(FirstStep::Apply).is_err());
    assert_eq!(fault(begin(FirstStep::Verify)), CannotResume::NotApplied);
    world.disk.script.set(Some(0));
    begin(FirstStep::Apply).unwrap();
    fs::write(world.project.path().join("dist/bin.conf"), "other").unwrap();
    assert_eq!(fault(begin(FirstStep::Apply)), CannotResume::Another);
}

#[test]
fn a_guest_that_goes_away_fails_the_step_as_lost() {
    let world = World::new(None);
    world.disk.script.set(None);
    let failure = world.auto().1.unwrap_err();
    assert_eq!(failure.step, BootstrapStep::Apply);
    assert!(failure.fault.reason().starts_with("lost: "), "{}", failure.fault.reason());
}

#[test]
fn wherever_a_bootstrap_is_cut_short_the_next_one_does_it_all() {
    let world = World::new(Some("true"));
    world.auto().1.unwrap();
    let all = world.disk.requests.get();
    assert!(all > 8, "only {all} requests");
    for cut in 1..=all {
        let world = World::new(Some("true"));
        world.auto().1.unwrap();
        fs::write(world.project.path().join("bootstrap.sh"), "echo other\n").unwrap();
        world.disk.requests.set(0);
        world.disk.full_at.set(Some(cut));
        let cut_short = world.auto().1;
        world.disk.full_at.set(None);
        let scripts =
            || world.disk.ran.borrow().iter().filter(|it| it.argv.contains(&SCRIPT.to_owned())).count();
        let before = scripts();
        match (cut_short, world.decision()) {
            (Err(_), BootstrapDecision::Run(_)) => assert_eq!(scripts(), before + 1, "cut at {cut}"),
            // Cut after the record was written: it is done, whatever was still to be said.
            (Err(_), BootstrapDecision::Skip(_)) => assert_eq!((cut, before), (all, 2)),
            (Ok(_), _) => panic!("cut at {cut} and not noticed"),
        }
        assert_eq!(world.decision(), BootstrapDecision::Skip(SkipReason::Unchanged));
    }
}

#[test]
fn a_status_is_told_of_every_step_with_its_time() {
    let world = World::new(None);
    let outcome = world.auto().1.unwrap();
    let statuses: Vec<_> = outcome.steps.iter().map(|step| (step.step, step.status)).collect();
    let ok = BootstrapStep::ALL.map(|step| match step {
        BootstrapStep::Verify => (step, StepStatus::Skipped),
        step => (step, StepStatus::Ok),
    });
    assert_eq!(statuses, ok);
}
