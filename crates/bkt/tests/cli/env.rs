//! A world of its own for one test: a home, a repository, and the command with nothing of the machine's
//! environment but `PATH`.

use std::ffi::OsStr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use castra_testkit::World;
pub(crate) use castra_testkit::{Answer, assert_answer};

/// How long a command may take.
const BOUND: Duration = Duration::from_secs(60);

/// A world of its own, in which commands run in a repository.
pub(crate) struct TestEnv(World);

impl Deref for TestEnv {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

/// A manifest with one VM.
pub(crate) const ONE: &str = r#"{
  "vms": {
    "web": {
      "memory_gb": 2,
      "vcpus": 2,
      "disk_path": "/images/web.qcow2",
      "disk_size_gb": 20,
      "boot": "bios",
      "network": "default",
      "graphics": "none"
    }
  }
}
"#;

impl TestEnv {
    /// A world without a manifest.
    pub(crate) fn new() -> Self {
        Self(World::new("repo"))
    }

    /// A world with that manifest.
    pub(crate) fn with(manifest: &str) -> Self {
        let env = Self::new();
        env.write("manifests/vms.json", manifest);
        env
    }

    /// The repository: where commands run.
    pub(crate) fn repo(&self) -> PathBuf {
        self.dir()
    }

    /// The command, ready to be run in `dir` of the repository.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.program(env!("CARGO_BIN_EXE_bkt"), args)
    }

    /// Runs the command to its end.
    pub(crate) fn bkt<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        run(self.command(args))
    }

    /// Checks the one line of an answer against the schema of that name.
    #[track_caller]
    pub(crate) fn holds(&self, schema: &str, answer: &Answer) {
        castra_testkit::fits(&self.bkt(["schema", schema]).succeeded(), answer);
    }

    /// Every file below a directory, relative to it, in order.
    pub(crate) fn tree(dir: &Path) -> Vec<String> {
        castra_testkit::tree(dir)
    }

    /// What differs between two runs of a snapshot, and what to put in its place.
    pub(crate) fn filters(&self) -> Vec<(&str, &str)> {
        vec![self.filter()]
    }
}

/// Runs a command to its end; kills it and fails where it takes longer than its bound.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Answer {
    castra_testkit::wait(command.spawn().unwrap(), BOUND)
}
