//! The other side of a boot: the same QEMU without Castra.
//!
//! Its arguments are those of a run by Castra, read from the process, with what only Castra can hand
//! over (inherited sockets, the record of its journal) replaced by plain files. Tests: below.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::{BenchError, IoAbout};
use super::lab::output;

/// Time between two connections of the loop that waits for SSH.
const CONNECT_EVERY: Duration = Duration::from_millis(20);
/// How long the loop listens to one connection. An SSH server on an emulated processor takes tens of
/// milliseconds to answer; a connection that QEMU took before the guest had a network stays silent.
const LISTEN: Duration = Duration::from_millis(100);
/// How long a boot and a shutdown may take.
const BOUND: Duration = Duration::from_secs(180);

/// How to run the QEMU of a VM without Castra.
#[derive(Debug)]
pub(crate) struct Bare {
    program: String,
    arguments: Vec<String>,
    dir: PathBuf,
    base: PathBuf,
    ssh: SocketAddr,
}

/// A QEMU that runs; killed where it is dropped.
#[derive(Debug)]
pub(crate) struct BareRun<'a> {
    of: &'a Bare,
    child: Child,
    begun: Instant,
}

/// What an argument list is rewritten with.
struct Places<'a> {
    dir: &'a Path,
    port: u16,
}

impl Bare {
    /// From the process `pid`, a QEMU started by Castra; its files come into `dir`, and `port` leads
    /// to the guest's SSH server.
    ///
    /// # Errors
    /// [`BenchError`] where the process is gone or is not as expected.
    pub(crate) fn of_process(pid: u64, dir: PathBuf, port: u16) -> Result<Self, BenchError> {
        let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
        let bytes = fs::read(&path).about("read", &path)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.trim_end_matches('\0').split('\0').map(ToOwned::to_owned);
        let program = words.next().unwrap_or_default();
        let words: Vec<String> = words.collect();
        fs::create_dir_all(&dir).about("create", &dir)?;
        let file = |node: &str| file_of(&words, node);
        let unexpected = || BenchError::Unexpected { what: "QEMU's command line", found: words.join(" ") };
        let base = file("root-base-file").ok_or_else(unexpected)?;
        if let Some(seed) = file("seed-file") {
            fs::copy(&seed, dir.join("seed-file")).about("copy", seed)?;
        }
        let arguments = rewritten(&words, &Places { dir: &dir, port });
        let ssh = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { program, arguments, dir, base, ssh })
    }

    /// Makes a fresh overlay, then starts QEMU; the clock starts in between.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(crate) fn start(&self) -> Result<BareRun<'_>, BenchError> {
        let overlay = self.dir.join("root-file");
        let mut make = Command::new("qemu-img");
        make.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(&self.base).arg(overlay);
        output(&mut make)?;
        let _ = fs::remove_file(self.qmp());
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let program = || self.program.clone();
        let child = command.spawn().map_err(|source| BenchError::Run { program: program(), source })?;
        Ok(BareRun { of: self, child, begun })
    }

    fn qmp(&self) -> PathBuf {
        self.dir.join("qmp")
    }
}

impl BareRun<'_> {
    /// Waits for the banner of the guest's SSH server, and tells how long it took from the start.
    ///
    /// # Errors
    /// [`BenchError::Timeout`].
    pub(crate) fn until_banner(&self) -> Result<Duration, BenchError> {
        while self.begun.elapsed() < BOUND {
            if shows_banner(self.of.ssh) {
                return Ok(self.begun.elapsed());
            }
            thread::sleep(CONNECT_EVERY);
        }
        Err(BenchError::Timeout { what: "the banner of a bare guest", bound: BOUND })
    }

    /// Presses the power button over QMP, and tells how long the process takes to end.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(crate) fn powerdown(mut self) -> Result<Duration, BenchError> {
        let begun = Instant::now();
        let path = self.of.qmp();
        let stream = UnixStream::connect(&path).about("connect to", &path)?;
        stream.set_read_timeout(Some(BOUND)).about("talk to", &path)?;
        let mut lines = BufReader::new(stream.try_clone().about("talk to", &path)?).lines();
        let mut next = || lines.next().unwrap_or_else(|| Ok(String::new())).about("read from", &path);
        next()?;
        for command in ["qmp_capabilities", "system_powerdown"] {
            writeln!(&stream, r#"{{"execute":"{command}"}}"#).about("write to", &path)?;
            let answer = next()?;
            if !answer.contains("\"return\"") && !answer.contains("\"event\"") {
                return Err(BenchError::Unexpected { what: "the answer of QEMU", found: answer });
            }
        }
        while begun.elapsed() < BOUND {
            if self.child.try_wait().about("wait for", &self.of.program)?.is_some() {
                return Ok(begun.elapsed());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(BenchError::Timeout { what: "the end of a bare guest", bound: BOUND })
    }
}

impl Drop for BareRun<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a connection shows the identification string of an SSH server.
fn shows_banner(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut begin = [0; 4];
    stream.set_read_timeout(Some(LISTEN)).is_ok()
        && stream.read_exact(&mut begin).is_ok()
        && begin == *b"SSH-"
}

/// The file of a block node.
fn file_of(words: &[String], node: &str) -> Option<PathBuf> {
    let nodes = words.iter().filter_map(|word| serde_json::from_str::<Value>(word).ok());
    let mut files = nodes.filter(|value| value["node-name"] == node);
    Some(files.next()?["filename"].as_str()?.into())
}

/// The sockets of the guest channel, by QEMU's names for them.
const CHANNELS: [&str; 2] = ["agent", "qga"];

/// A command line with files of `places` in the place of Castra's.
fn rewritten(words: &[String], places: &Places<'_>) -> Vec<String> {
    let file = |name: &str| places.dir.join(name).display().to_string();
    let mut rewritten = Vec::with_capacity(words.len());
    for word in words {
        rewritten.push(if word.starts_with("guest=") {
            "guest=bare,debug-threads=on".to_owned()
        } else if word.starts_with("socket,id=qmp,") {
            format!("socket,id=qmp,path={},server=on,wait=off", file("qmp"))
        } else if word.starts_with("socket,id=serial,") {
            let (socket, log) = (file("serial"), file("serial.log"));
            format!("socket,id=serial,path={socket},server=on,wait=off,logfile={log},logappend=on")
        } else if let Some(id) = CHANNELS.into_iter().find(|id| word.starts_with(&format!("socket,id={id},")))
        {
            format!("socket,id={id},path={},server=on,wait=off", file(id))
        } else if word.starts_with("file,id=journal,") {
            format!("file,id=journal,path={},append=on", file("journal"))
        } else if let Ok(value) = serde_json::from_str::<Value>(word) {
            json(value, places).to_string()
        } else {
            word.clone()
        });
    }
    rewritten
}

fn json(mut value: Value, places: &Places<'_>) -> Value {
    if let Some(node) = value["node-name"].as_str().filter(|node| ["root-file", "seed-file"].contains(node)) {
        value["filename"] = places.dir.join(node).display().to_string().into();
    }
    let forwards = value.get_mut("hostfwd").and_then(Value::as_array_mut);
    for forward in forwards.into_iter().flatten() {
        forward["str"] = format!("tcp:127.0.0.1:{}-:22", places.port).into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_castra_hands_over_is_replaced() {
        let words: Vec<String> = [
            "-name",
            "guest=castra/web/0123,debug-threads=on",
            "-m",
            "64M",
            "-chardev",
            "socket,id=qmp,fd=3,server=on,wait=off",
            "-chardev",
            "file,id=journal,path=metadata/j,append=on,input-path=/proc/self/fd/5",
            "-chardev",
            "socket,id=serial,fd=4,server=on,wait=off,logfile=logs/web-serial.log,logappend=on",
            "-chardev",
            "socket,id=agent,fd=8,server=on,wait=off",
            "-blockdev",
            r#"{"driver":"file","node-name":"root-base-file","filename":"/w/base"}"#,
            "-blockdev",
            r#"{"driver":"file","node-name":"root-file","filename":"/w/overlay"}"#,
            "-netdev",
            r#"{"type":"user","id":"net","hostfwd":[{"str":"tcp:127.0.0.1:2222-:22"}]}"#,
        ]
        .map(ToOwned::to_owned)
        .to_vec();
        assert_eq!(file_of(&words, "root-base-file"), Some("/w/base".into()));
        let found = rewritten(&words, &Places { dir: Path::new("/b"), port: 7 });
        let expected = [
            "-name",
            "guest=bare,debug-threads=on",
            "-m",
            "64M",
            "-chardev",
            "socket,id=qmp,path=/b/qmp,server=on,wait=off",
            "-chardev",
            "file,id=journal,path=/b/journal,append=on",
            "-chardev",
            "socket,id=serial,path=/b/serial,server=on,wait=off,logfile=/b/serial.log,logappend=on",
            "-chardev",
            "socket,id=agent,path=/b/agent,server=on,wait=off",
            "-blockdev",
            r#"{"driver":"file","filename":"/w/base","node-name":"root-base-file"}"#,
            "-blockdev",
            r#"{"driver":"file","filename":"/b/root-file","node-name":"root-file"}"#,
            "-netdev",
            r#"{"hostfwd":[{"str":"tcp:127.0.0.1:7-:22"}],"id":"net","type":"user"}"#,
        ];
        let parsed = |word: &str| serde_json::from_str::<Value>(word).unwrap_or_else(|_| word.into());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(parsed(found), parsed(expected));
        }
    }
}
