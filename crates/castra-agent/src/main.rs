//! `castra-agent`: the agent in a guest, and what guest programs call it for.
//!
//! Owns: its command line, which is read by hand because every byte of this program crosses into
//! every guest. Tests: `tests/it`.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use castra_agent::{ClientError, Config, Hangup, exec_child, open_port, publish, serve, tail};
use castra_agent_proto::limits::PORT_NAME;

/// The help.
const HELP: &str = "\
The agent in a Castra guest.

usage: castra-agent [--port PATH]
       castra-agent publish --topic TOPIC [--socket PATH] MESSAGE | -
       castra-agent tail [--topic TOPIC] [--socket PATH]

  --port PATH     the port to the host, where it is not the one with the agent's name
  publish         tells the host a message; `-` takes each line of standard input as one
  tail            prints what the host publishes, a line each
  --socket PATH   where the agent listens for guest programs: /run/castra-agent.sock
";

/// Where guest programs find the agent.
const SOCKET: &str = "/run/castra-agent.sock";

/// How often the port is looked for: soon after the start, later.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_LATER: Duration = Duration::from_secs(2);
/// When it is later.
const LATER: Duration = Duration::from_secs(60);

/// Why the program ends without success.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{what}\n\n{HELP}")]
    Usage { what: String },
    #[error("cannot open `{path}`")]
    Open { path: PathBuf, source: io::Error },
    #[error("the port is gone")]
    Port { source: io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == "exec-child").is_some() {
        let (reason, code) = exec_child(args);
        let _ = writeln!(io::stderr(), "castra-agent: {reason}");
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    match run(args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let mut text = format!("castra-agent: {fault}");
            let mut source = std::error::Error::source(&fault);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(if matches!(fault, Fault::Usage { .. }) { 2 } else { 1 })
        }
    }
}

/// What the command line asks.
#[derive(Debug, Default)]
struct Asked {
    port: Option<PathBuf>,
    topic: Option<String>,
    socket: Option<PathBuf>,
    words: Vec<String>,
}

fn run(args: Vec<OsString>) -> Result<(), Fault> {
    let asked = Asked::parse(args)?;
    let socket = asked.socket.clone().unwrap_or_else(|| PathBuf::from(SOCKET));
    let words: Vec<&str> = asked.words.iter().map(String::as_str).collect();
    match (words.as_slice(), &asked.topic) {
        ([], None) => agent(asked.port.as_deref(), socket),
        (["publish", "-"], Some(topic)) => {
            let lines = io::stdin().lock().split(b'\n').map_while(Result::ok);
            Ok(publish(&socket, topic, lines)?)
        }
        (["publish", message], Some(topic)) => {
            Ok(publish(&socket, topic, std::iter::once(message.as_bytes().to_vec()))?)
        }
        (["tail"], topic) => Ok(tail(&socket, topic.as_deref(), &mut |said| {
            let mut out = io::stdout().lock();
            if topic.is_none() {
                write!(out, "{} ", said.topic)?;
            }
            out.write_all(&said.message)?;
            out.write_all(b"\n")?;
            out.flush()
        })?),
        (["help"], _) => {
            let _ = io::stdout().write_all(HELP.as_bytes());
            Ok(())
        }
        (["version"], _) => {
            let _ = writeln!(io::stdout(), "castra-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => Err(Fault::Usage { what: "that is not how it is called".to_owned() }),
    }
}

impl Asked {
    fn parse(args: Vec<OsString>) -> Result<Self, Fault> {
        let usage = |what: String| Fault::Usage { what };
        let mut asked = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let arg = arg.into_string().map_err(|_| usage("an argument is not UTF-8".to_owned()))?;
            let mut value = || args.next().ok_or_else(|| usage(format!("`{arg}` needs a value")));
            match arg.as_str() {
                "--port" => asked.port = Some(value()?.into()),
                "--socket" => asked.socket = Some(value()?.into()),
                "--topic" => asked.topic = Some(value()?.to_string_lossy().into_owned()),
                "--help" | "-h" => asked.words = vec!["help".to_owned()],
                "--version" | "-V" => asked.words = vec!["version".to_owned()],
                // A message may begin with a dash; an option of the agent's is never its second word.
                _ if arg.starts_with("--") && asked.words.is_empty() => {
                    return Err(usage(format!("there is no option `{arg}`")));
                }
                _ => asked.words.push(arg),
            }
        }
        Ok(asked)
    }
}

/// Serves the port until it is gone.
fn agent(port: Option<&Path>, socket: PathBuf) -> Result<(), Fault> {
    let path = match port {
        Some(path) => path.to_owned(),
        None => wait_for_port(),
    };
    let port = open_port(&path).map_err(|source| Fault::Open { path, source })?;
    let config = Config { socket: Some(socket), ..Config::guest() };
    serve(&port, config, Hangup::Wait).map_err(|source| Fault::Port { source })
}

/// The device of the agent's port, as soon as the guest has it.
fn wait_for_port() -> PathBuf {
    let began = Instant::now();
    loop {
        if let Some(path) = find_port() {
            return path;
        }
        std::thread::sleep(if began.elapsed() < LATER { LOOK } else { LOOK_LATER });
    }
}

/// The device of the port with the agent's name. Only udev makes links by name.
fn find_port() -> Option<PathBuf> {
    let ports = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let name = std::fs::read_to_string(port.path().join("name")).ok()?;
        let device = Path::new("/dev").join(port.file_name());
        (name.trim() == PORT_NAME && device.exists()).then_some(device)
    })
}
