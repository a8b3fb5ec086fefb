//! A project whose VMs are real QEMUs, and what a test sees of them from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::Duration;

use plasmavmc_host::Layout;
use plasmavmc_host::accelerator::{self, Freshness};
use plasmavmc_host::process::Process;
use plasmavmc_host::qemu::{self, GuestArch};
use plasmavmc_kvm::{MarkedProcess, marked_processes};
use rustix::process::Signal;
use serde_json::Value;

use crate::env::{Answer, TestEnv, wait};
use crate::sectors::one_vm;

/// How long a command may take that starts or stops VMs on a busy host.
pub(crate) const BOUND: Duration = Duration::from_secs(120);

/// The head of a config whose VMs are ended with SIGKILL: nobody waits for a guest here.
const HEAD: &str = "version = 1\n[project]\nname = \"shop\"\n[lifecycle]\ngraceful_shutdown_wait_secs = 0\nsigterm_wait_secs = 0\n";

/// A VM on the tiny guest's image, small and on the accelerator every host has; `more` keys may
/// follow.
pub(crate) fn vm(name: &str, more: &str) -> String {
    let image = castra_testkit::tiny_image();
    format!(
        "[[vms]]\nname = \"{name}\"\nbase_image = \"{}\"\nmemory = \"64 MiB\"\naccelerator = \"tcg\"\n{more}\n",
        image.display()
    )
}

/// A world with a project `shop` that has these VMs, on a host whose accelerators are proven.
pub(crate) fn shop(vms: &[String]) -> TestEnv {
    let env = TestEnv::new();
    env.write("castra.toml", HEAD.to_owned() + &vms.concat());
    prove_accelerators(&env);
    env
}

/// A world whose project has one VM, `web`, that boots the tiny guest with so much memory; `more` are
/// keys of the VM and what follows it. Its QEMU runs.
pub(crate) fn linux(memory: &str, more: &str) -> TestEnv {
    let env = TestEnv::new();
    prove_accelerators(&env);
    let text = one_vm(more).replace("./guest.img", castra_testkit::tiny_image().to_str().unwrap());
    env.write("castra.toml", text.replace("64 MiB", memory));
    env.castra(["up", "--wait", "none"]).succeeded();
    env
}

/// Lets the world's host have proven its accelerators already.
pub(crate) fn prove_accelerators(env: &TestEnv) {
    fs::create_dir_all(env.castra_home().join("cache")).unwrap();
    fs::write(env.castra_home().join("cache").join(accelerator::CACHE_FILE), proof()).unwrap();
}

/// A world with a project of one VM, `web`.
pub(crate) fn web() -> TestEnv {
    shop(&[vm("web", "")])
}

/// What the accelerators' proof left: it takes a second and is the same for every world.
fn proof() -> &'static [u8] {
    static PROOF: OnceLock<Vec<u8>> = OnceLock::new();
    PROOF.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let qemu = qemu::locate(GuestArch::of_host().unwrap(), None).unwrap();
        accelerator::prove(&qemu, dir.path(), Freshness::UseCache).unwrap();
        fs::read(dir.path().join(accelerator::CACHE_FILE)).unwrap()
    })
}

impl TestEnv {
    /// Runs a command that may start or stop VMs.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        wait(self.spawn(args), BOUND)
    }

    /// Starts a command, to be waited for with [`finish`].
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// `castra up` as far as a running QEMU.
    #[track_caller]
    pub(crate) fn up(&self) -> Value {
        self.run(&["up", "--wait", "none", "--json"]).succeeded().outcome()
    }

    /// `castra down`.
    #[track_caller]
    pub(crate) fn down(&self) -> Value {
        self.run(&["down", "--json"]).succeeded().outcome()
    }

    /// What `castra status` shows of a VM of the project.
    #[track_caller]
    pub(crate) fn row(&self, vm: &str) -> Value {
        let status = self.castra(["status", "--json", "--config", "castra.toml"]).succeeded().outcome();
        let rows = status["workspaces"][0]["vms"].as_array().unwrap();
        rows.iter().find(|row| row["vm"] == vm).unwrap().clone()
    }

    /// The QEMUs that run in this world's workspaces, seen without any command's help.
    pub(crate) fn qemus(&self) -> Vec<MarkedProcess> {
        let mut all = marked_processes().unwrap();
        all.retain(|process| process.root.as_deref().is_some_and(|root| root.starts_with(self.path())));
        all
    }

    /// The process of the only QEMU of this world.
    #[track_caller]
    pub(crate) fn only_qemu(&self) -> u32 {
        let qemus = self.qemus();
        assert_eq!(qemus.len(), 1, "{qemus:?}");
        qemus[0].pid
    }

    /// Sends the only QEMU of this world a signal; gives its process.
    #[track_caller]
    pub(crate) fn signal_qemu(&self, signal: Signal) -> Process {
        let process = Process::of_pid(self.only_qemu()).unwrap().unwrap();
        process.signal(signal).unwrap();
        process
    }

    /// Ends the only QEMU of this world as a crash would.
    #[track_caller]
    pub(crate) fn kill_qemu(&self) {
        let ended = self.signal_qemu(Signal::KILL).exits_within(BOUND).unwrap();
        assert!(ended, "QEMU survived SIGKILL");
    }

    /// The overlay of `web`, where the config does not name another.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.layout().overlay(&"web".parse().unwrap())
    }
}

/// Waits for commands that run at the same time.
pub(crate) fn finish(children: impl IntoIterator<Item = Child>) -> Vec<Answer> {
    children.into_iter().map(|child| wait(child, BOUND)).collect()
}

/// Fails where a file of a workspace is not whole. Unfinished files have names of their own.
#[track_caller]
pub(crate) fn assert_files_are_whole(layout: &Layout) {
    for name in TestEnv::tree(layout.root()) {
        let path = layout.root().join(&name);
        let file_name = path.file_name().unwrap().to_str().unwrap();
        if path.is_file() && !file_name.starts_with(plasmavmc_host::publish::TEMPORARY_PREFIX) {
            assert_is_whole(&path);
        }
    }
}

#[track_caller]
fn assert_is_whole(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let shown = path.display();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => {
            let parsed = serde_json::from_slice::<Value>(&bytes);
            assert!(parsed.is_ok(), "{shown} is half a file: {parsed:?}");
        }
        Some("toml") => {
            let parsed = toml::from_str::<toml::Table>(std::str::from_utf8(&bytes).unwrap());
            assert!(parsed.is_ok(), "{shown} is half a file: {parsed:?}");
        }
        Some("pid") => {
            let parsed = plasmavmc_host::process::PidFile::parse(&bytes);
            assert!(parsed.is_some(), "{shown} is half a file: {bytes:?}");
        }
        Some("qcow2") => {
            let base = plasmavmc_host::base::BaseImage::inspect(&castra_testkit::tiny_image(), None).unwrap();
            let verified = plasmavmc_host::overlay::verify(path, &base);
            assert!(verified.is_ok(), "{shown} is half an overlay: {verified:?}");
        }
        Some("img") => {
            // The mark at the end of a FAT volume's first sector.
            assert_eq!(bytes.get(510..512), Some(&[0x55, 0xaa][..]), "{shown} is half a volume");
        }
        _ => {}
    }
}
