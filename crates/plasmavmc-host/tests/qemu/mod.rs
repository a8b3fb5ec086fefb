//! QEMU for the tests of guest images: launched plainly, watched from outside, killed when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use castra_testkit::until;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What starts the boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    Bios,
    Uefi,
}

/// A running QEMU on an overlay of an image.
pub(crate) struct Guest {
    child: Child,
    qmp: BufReader<UnixStream>,
    console: UnixStream,
    serial: Arc<Mutex<Vec<u8>>>,
    ssh_port: u16,
    dir: TempDir,
}

/// Time between two looks at something that has no event.
/// Time for QEMU itself to answer.
const QMP_BOUND: Duration = Duration::from_secs(30);

impl Guest {
    /// Launches QEMU on an overlay over `image`, with `seed` as a second disk.
    pub(crate) fn launch(image: &Path, firmware: Firmware, seed: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a directory for QEMU");
        let mut qemu = Command::new("qemu-system-x86_64");
        // The host's clock would make a slow machine's guest miss its timers; one thread is enough.
        qemu.args(["-machine", "q35", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"]);
        qemu.args(["-m", "512", "-device", "virtio-rng-pci"]).current_dir(&dir);
        qemu.args(["-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22"]);
        qemu.args(["-device", "virtio-net-pci,netdev=net0"]);
        qemu.args(["-qmp", "unix:qmp,server=on,wait=off"]);
        qemu.args(["-chardev", "socket,id=ttyS0,path=console,server=on,wait=off"]);
        qemu.args(["-serial", "chardev:ttyS0"]);
        qemu.args([
            "-chardev",
            "socket,id=agent,path=agent,server=on,wait=off",
            "-device",
            "virtio-serial-pci",
        ]);
        qemu.args(["-device", "virtserialport,chardev=agent,name=org.castra.agent.0"]);
        overlay(image, &dir.path().join("disk.qcow2"));
        disk(&mut qemu, "vda", "qcow2", Path::new("disk.qcow2"), "bootindex=0");
        if let Some(seed) = seed {
            disk(&mut qemu, "vdb", "raw", seed, "write-cache=on");
        }
        if firmware == Firmware::Uefi {
            fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", dir.path().join("vars.fd"))
                .expect("`ovmf` is installed");
            for (name, file, read_only) in
                [("code", "/usr/share/OVMF/OVMF_CODE_4M.fd", "on"), ("vars", "vars.fd", "off")]
            {
                let node = format!(
                    "driver=raw,node-name={name},read-only={read_only},file.driver=file,file.filename={file}"
                );
                qemu.args(["-blockdev", &node]);
            }
            qemu.args(["-machine", "pflash0=code,pflash1=vars"]);
        }
        let child = qemu.stdin(Stdio::null()).spawn().expect("`qemu-system-x86` is installed");
        let (qmp, console) = (connect(&dir.path().join("qmp")), connect(&dir.path().join("console")));
        let serial = keep_reading(&console);
        let mut guest = Self { child, qmp: BufReader::new(qmp), console, serial, ssh_port: 0, dir };
        guest.line();
        guest.execute(&json!({"execute": "qmp_capabilities"}));
        guest.ssh_port = guest.forwarded_port();
        guest
    }

    /// A connection to the port of the guest's agent. There can be one at a time.
    pub(crate) fn agent_port(&self) -> UnixStream {
        connect(&self.dir.path().join("agent"))
    }

    /// The host's port that leads to the guest's SSH server.
    pub(crate) fn ssh_port(&self) -> u16 {
        self.ssh_port
    }

    /// QEMU chose the port itself, so that no two guests want the same.
    fn forwarded_port(&mut self) -> u16 {
        let info = json!({"execute": "human-monitor-command", "arguments": {"command-line": "info usernet"}});
        let text = self.execute(&info);
        let text = text.as_str().expect("a monitor's answer is text").to_owned();
        let row = text.lines().find(|line| line.contains("HOST_FORWARD")).expect("ssh is forwarded");
        row.split_whitespace().nth(3).and_then(|port| port.parse().ok()).expect("a row has a port")
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.qmp.read_line(&mut line).expect("QEMU answers");
        serde_json::from_str(&line).expect("QEMU answers in JSON")
    }

    fn execute(&mut self, command: &Value) -> Value {
        writeln!(self.qmp.get_mut(), "{command}").expect("QEMU listens");
        loop {
            let mut answer = self.line();
            if let Some(value) = answer.get_mut("return") {
                return value.take();
            }
            assert!(answer.get("event").is_some(), "QEMU refused {command}: {answer}");
        }
    }

    /// Presses the ACPI power button.
    pub(crate) fn press_power_button(&mut self) {
        self.execute(&json!({"execute": "system_powerdown"}));
    }

    /// Types `text` on the serial console.
    pub(crate) fn type_on_console(&mut self, text: &str) {
        self.console.write_all(text.as_bytes()).expect("the console listens");
    }

    /// Everything the guest wrote to its serial console so far.
    pub(crate) fn serial(&self) -> String {
        let bytes = self.serial.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `done`.
    pub(crate) fn poll(&mut self, bound: Duration, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        until(bound, || {
            if done(self) { Ok(()) } else { Err(format!("{what}; the console says:\n{}", self.serial())) }
        });
    }

    /// Waits until the serial console has shown `text`.
    pub(crate) fn wait_for_serial(&mut self, text: &str, bound: Duration) {
        self.poll(bound, text, |guest| guest.serial().contains(text));
    }

    /// Waits until the SSH server greets. QEMU accepts connections long before the guest does, and
    /// repeats them ever more slowly, so each is given little time.
    pub(crate) fn wait_for_banner(&mut self, bound: Duration) {
        self.poll(bound, "SSH banner", |guest| {
            assert_eq!(guest.child.try_wait().expect("QEMU is our child"), None, "QEMU ended");
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", guest.ssh_port)) else { return false };
            stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket has timeouts");
            let mut banner = [0; 4];
            stream.read_exact(&mut banner).is_ok() && banner == *b"SSH-"
        });
    }

    /// Waits until QEMU ended by itself, with success.
    pub(crate) fn wait_for_exit(&mut self, bound: Duration) {
        self.poll(bound, "end of QEMU", |guest| match guest.child.try_wait().expect("QEMU is our child") {
            Some(status) => {
                assert!(status.success(), "QEMU ended with {status}");
                true
            }
            None => false,
        });
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A disk with a name of its own, as QEMU wants it to be able to move a guest.
fn disk(qemu: &mut Command, name: &str, format: &str, file: &Path, option: &str) {
    let filename = file.to_str().expect("paths of tests are text");
    qemu.args([
        "-blockdev",
        &format!("driver={format},node-name={name},file.driver=file,file.filename={filename}"),
    ]);
    qemu.args(["-device", &format!("virtio-blk-pci,drive={name},{option}")]);
}

fn overlay(image: &Path, path: &Path) {
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).args([image, path]);
    plasmavmc_host::exec::run(command, QMP_BOUND).expect("`qemu-utils` is installed");
}

/// Reads the console for as long as there is one. QEMU writes to it byte by byte, and a guest whose
/// console nobody reads stands still after some 280 of them.
fn keep_reading(console: &UnixStream) -> Arc<Mutex<Vec<u8>>> {
    let mut console = console.try_clone().expect("a socket can be cloned");
    console.set_read_timeout(None).expect("a socket can wait");
    let serial = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&serial);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut chunk) {
            kept.lock().expect("no reader panics").extend_from_slice(&chunk[..count]);
        }
    });
    serial
}

/// Connects to a socket that QEMU is about to make.
fn connect(path: &Path) -> UnixStream {
    let stream = until(QMP_BOUND, || UnixStream::connect(path));
    stream.set_read_timeout(Some(QMP_BOUND)).expect("a socket has timeouts");
    stream
}
