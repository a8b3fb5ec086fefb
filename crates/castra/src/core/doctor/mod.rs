//! `doctor`: looks at everything Castra depends on and says what is wrong, and what to type.
//!
//! ```text
//! host        QEMU, qemu-img, UEFI firmware, tools of `image build`
//! accelerator a test guest on each, timed: which is taken, and why the others are not
//! home        Castra's own directory, free disk space
//! workspaces  every record readable, links that lead somewhere
//! strays      VMs no workspace knows, files of VMs that are gone, unfinished files
//! images      the store: damaged images, downloads that never finished
//! ```
//! Reads only: nothing is repaired, cached or locked. It cannot fail; what cannot be looked at is a
//! finding. Each check gathers facts, then judges them in a pure function. Tests: in each file, and
//! `tests/it/doctor.rs`.

mod accelerator;
mod home;
mod host;
mod images;
mod leftovers;
mod strays;
mod workspaces;

use plasmavmc_types::{Accelerator, Explain};
use schemars::JsonSchema;
use serde::Serialize;

use super::output::OperationOutput;
use super::session::Session;

/// What `doctor` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DoctorOutcome {
    /// The worst of the checks.
    pub status: CheckStatus,
    /// The checks, in an order that suits reading.
    pub checks: Vec<Check>,
    /// What ran the test guest, and how fast; empty where there is no QEMU.
    pub accelerators: Vec<AcceleratorRow>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: CheckName,
    /// How it is.
    pub status: CheckStatus,
    /// The finding in one line.
    pub summary: String,
    /// More of it, one line each.
    pub details: Vec<String>,
    /// What to do, each a sentence with something to type.
    pub hints: Vec<String>,
}

/// What a check looks at. A name once released keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The QEMU system emulator.
    Qemu,
    /// What runs guest code.
    Accelerator,
    /// UEFI firmware for VMs that ask for it.
    Firmware,
    /// `qemu-img`, which `image build` needs.
    QemuImg,
    /// The other tools of `image build`.
    ImageBuild,
    /// Castra's own directory.
    Home,
    /// Room on its file system.
    DiskSpace,
    /// The known workspaces.
    Workspaces,
    /// VMs that no workspace knows.
    Strays,
    /// Files of VMs and commands that are gone.
    Leftovers,
    /// The image store.
    ImageStore,
}

impl CheckName {
    /// Its title, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Accelerator => "accelerator",
            Self::Firmware => "UEFI firmware",
            Self::QemuImg => "qemu-img",
            Self::ImageBuild => "image build",
            Self::Home => "castra home",
            Self::DiskSpace => "disk space",
            Self::Workspaces => "workspaces",
            Self::Strays => "strays",
            Self::Leftovers => "leftovers",
            Self::ImageStore => "image store",
        }
    }
}

/// How something is, the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// VMs run, but something is missing, slow or untidy.
    Warning,
    /// Something does not work.
    Problem,
}

/// How one accelerator did with the test guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AcceleratorRow {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Whether `auto` takes it, and as which choice: 1 is the first; null where it is not used.
    pub rank: Option<u32>,
    /// From QEMU's start to the end of the test guest; null where the guest did not finish.
    pub elapsed_ms: Option<u64>,
    /// Why it stands where it stands, for people.
    pub reason: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

impl Check {
    fn new(name: CheckName, status: CheckStatus, summary: impl Into<String>) -> Self {
        Self { name, status, summary: summary.into(), details: Vec::new(), hints: Vec::new() }
    }

    fn ok(name: CheckName, summary: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, summary)
    }

    fn warning(name: CheckName, summary: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warning, summary)
    }

    fn problem(name: CheckName, summary: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Problem, summary)
    }

    /// A check whose finding is an error: its text, its causes, its hints.
    fn failed(name: CheckName, status: CheckStatus, error: &dyn Explain) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { details: causes, hints: error.hints(), ..Self::new(name, status, error.to_string()) }
    }

    fn with_details(self, details: impl IntoIterator<Item = String>) -> Self {
        Self { details: details.into_iter().collect(), ..self }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Looks at everything.
pub fn doctor(session: &Session) -> OperationOutput<DoctorOutcome> {
    let qemu = host::locate_qemu(session);
    let (accelerator, accelerators) = accelerator::check(session, qemu.as_ref().ok());
    let (workspaces, known) = workspaces::check(session);
    let checks = vec![
        host::qemu(&qemu),
        accelerator,
        host::firmware(),
        host::qemu_img(),
        host::image_build(),
        home::home(session),
        home::disk_space(session),
        workspaces,
        strays::check(&known),
        leftovers::check(session, &known),
        images::check(session),
    ];
    let status = checks.iter().map(|check| check.status).max().unwrap_or(CheckStatus::Ok);
    OperationOutput::new(DoctorOutcome { status, checks, accelerators })
}
