//! Real libvirt for tests: its daemons, names of one's own, and nothing left behind.
//!
//! A test that would stop or hang a daemon takes a [`PrivateDaemon`]; the shared one serves every test of
//! this host at once and is never stopped. Whoever is no root, or has no libvirt, cannot run these tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use plasmavmc_host::FileLock;
use plasmavmc_host::exec::Dialogue;

use crate::until;

/// The URI of the shared daemon.
pub const SYSTEM: &str = "qemu:///system";

/// How long a daemon may take to answer: seconds on a busy machine.
const START_BOUND: Duration = Duration::from_secs(60);

/// Runs virsh on a URI.
///
/// # Panics
/// Where it is not installed.
pub fn virsh(uri: &str, args: &[&str]) -> Output {
    let mut command = Command::new("virsh");
    command.env("LC_ALL", "C").args(["-q", "-c", uri]).args(args).stdin(Stdio::null());
    command.output().expect("`libvirt-clients` is installed")
}

/// What a virsh that must succeed printed.
///
/// # Panics
/// Where it fails; with what it said.
pub fn virsh_ok(uri: &str, args: &[&str]) -> String {
    let output = virsh(uri, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "virsh {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The shared libvirt, with names and files of this test alone. Dropping it removes every domain whose name
/// begins with [`Self::prefix`], and what libvirt keeps of it.
pub struct Libvirt {
    prefix: String,
    dir: PathBuf,
}

impl Libvirt {
    /// The shared libvirt; its daemons are started where they do not run.
    ///
    /// # Panics
    /// Where they do not start.
    pub fn system() -> Self {
        ensure_daemons();
        let token: String = (0..8).map(|_| char::from(b'a' + random() % 26)).collect();
        let prefix = format!("castra-test-{token}-");
        // QEMU runs as another user, who must get in.
        let dir = std::env::temp_dir().join(prefix.trim_end_matches('-'));
        fs::create_dir(&dir).expect("a directory for the test");
        open_to_all(&dir);
        Self { prefix, dir }
    }

    /// How the names of this test's domains begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A name of this test's own.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A directory of this test's own that QEMU's user can enter, if its parents let it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs virsh, which must succeed, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn virsh(&self, args: &[&str]) -> String {
        virsh_ok(SYSTEM, args)
    }

    /// Defines a domain from XML and returns its UUID.
    ///
    /// # Panics
    /// Where libvirt refuses it, or its name is not this test's own.
    pub fn define(&self, xml: &str) -> String {
        assert!(xml.contains(&self.prefix), "a test's domain has a name of that test's own");
        let file = self.dir.join("define.xml");
        fs::write(&file, xml).expect("the domain's XML can be written");
        virsh_ok(SYSTEM, &["define", &file.to_string_lossy()]);
        let name = xml.split_once("<name>").and_then(|(_, rest)| rest.split_once("</name>"));
        let name = name.expect("the XML has a name").0;
        virsh_ok(SYSTEM, &["domuuid", name])
    }

    /// A domain of 64 MiB without disks, whose guest does nothing, as XML.
    pub fn small_domain(&self, name: &str) -> String {
        format!(
            "<domain type='qemu'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>\
             <devices><controller type='usb' model='none'/></devices></domain>",
            self.name(name)
        )
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let listed = virsh(SYSTEM, &["list", "--all", "--name", "--uuid"]);
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let Some((id, name)) = line.trim().split_once(' ') else { continue };
            if name.trim().starts_with(&self.prefix) {
                virsh(SYSTEM, &["destroy", id]);
                virsh(SYSTEM, &["undefine", id, "--nvram", "--managed-save", "--snapshots-metadata"]);
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Starts `virtlogd` and `libvirtd` where the shared ones do not answer. They stay, for
/// others use them too; `scripts/test` ends those that came up while it ran.
///
/// # Panics
/// Where they do not answer in the end.
pub fn ensure_daemons() {
    let lock = std::env::temp_dir().join("castra-test-libvirt.lock");
    let _lock = FileLock::acquire(&lock, START_BOUND).expect("the lock of libvirt's start");
    if answers(SYSTEM) {
        return;
    }
    for daemon in ["virtlogd", "libvirtd"] {
        let program = [Path::new("/usr/sbin"), Path::new("/usr/bin")].map(|dir| dir.join(daemon));
        let program = program.into_iter().find(|path| path.exists());
        let program = program.unwrap_or_else(|| panic!("`libvirt-daemon-system` is installed ({daemon})"));
        // Away from the test's folder and streams: it outlives the test.
        let mut command = Command::new(program);
        command.arg("-d").current_dir("/").env_remove("TMPDIR");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // One that runs already says so and fails.
        let _ = command.status();
    }
    wait_for(SYSTEM);
}

fn answers(uri: &str) -> bool {
    virsh(uri, &["-r", "uri"]).status.success() || virsh(uri, &["uri"]).status.success()
}

fn wait_for(uri: &str) {
    until(START_BOUND, || answers(uri).then_some(()).ok_or_else(|| format!("libvirt answers at {uri}")));
}

/// A libvirtd of one test, with sockets and files of its own, that runs as a user without rights. It may be
/// stopped, hung and killed. Dropping it ends it.
pub struct PrivateDaemon {
    dir: PathBuf,
    child: Child,
}

impl PrivateDaemon {
    /// Starts one below a new directory.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start() -> Self {
        let token: String = (0..8).map(|_| char::from(b'a' + random() % 26)).collect();
        // Short: a socket's path has at most 108 bytes.
        let dir = PathBuf::from(format!("/tmp/castra-ld-{token}"));
        fs::create_dir(&dir).expect("a directory for the daemon");
        open_to_all(&dir);
        let conf = dir.join("libvirtd.conf");
        fs::write(&conf, "log_outputs = \"4:stderr\"\n").expect("the daemon's settings");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL", "libvirtd"]);
        command.arg("-f").arg(&conf).arg("-p").arg(dir.join("pid"));
        for (name, sub) in [
            ("HOME", "home"),
            ("XDG_RUNTIME_DIR", "run"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_DATA_HOME", "data"),
        ] {
            let sub = dir.join(sub);
            fs::create_dir(&sub).expect("a directory of the daemon");
            open_to_all(&sub);
            command.env(name, sub);
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`util-linux` and `libvirt-daemon-system` are installed");
        let daemon = Self { dir, child };
        wait_for(&daemon.uri());
        daemon
    }

    /// The URI of libvirt's test driver in this daemon.
    pub fn uri(&self) -> String {
        format!("test+unix:///default?socket={}", self.dir.join("run/libvirt/libvirt-sock").display())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection that stays open until it is dropped: the test driver forgets its domains with the last.
    ///
    /// # Panics
    /// Where there is none to be had.
    pub fn hold(&self) -> Dialogue {
        let mut command = Command::new("virsh");
        command.env("LC_ALL", "C").env("TERM", "dumb").args(["-q", "-r", "-c", &self.uri()]);
        let mut virsh = Dialogue::start(command).expect("`libvirt-clients` is installed");
        // It has answered once more than it has repeated the question.
        let answered = |output: &[u8]| String::from_utf8_lossy(output).contains("test+unix:///");
        virsh.ask(b"uri\n", START_BOUND, 1 << 20, &mut { answered }).expect("the connection is made");
        virsh
    }

    /// Sends it a signal by name, such as `STOP`.
    ///
    /// # Panics
    /// Where it cannot be sent.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().expect("`kill` is there");
        assert!(status.success(), "the daemon takes a signal");
    }
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).expect("the mode of a directory");
}

/// A byte nobody can foresee.
fn random() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}
