//! A project whose VM `devbox` is played: a real broker and the real agent, and between them a socket
//! instead of a machine. What the agent does, it does on this host, below the world's directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use castra_agent::{Config, Hangup, serve};
use plasmavmc_guest::broker::{Broker, BrokerConfig, Lifetime, LiveVm, PortNews, Vms};
use plasmavmc_host::process::{Process, ProcessIdentity};
use plasmavmc_host::{Layout, socket};
use plasmavmc_types::{EventKind, RunToken, VmName};

use crate::env::{Answer, TestEnv, wait};

/// How long a command may take that moves much.
const BOUND: Duration = Duration::from_secs(60);

/// The world, its broker and its guest.
pub(crate) struct AgentLab {
    pub(crate) env: TestEnv,
    machine: Child,
    broker: Option<JoinHandle<()>>,
    agent: Option<JoinHandle<()>>,
}

/// One VM that lives for as long as a process does.
struct OneVm {
    run: RunToken,
    process: ProcessIdentity,
}

impl Vms for OneVm {
    fn live(&mut self) -> Vec<LiveVm> {
        let process = Process::open(self.process).unwrap();
        let live = process.map(|process| LiveVm { vm: "devbox".parse().unwrap(), run: self.run, process });
        live.into_iter().collect()
    }

    fn watch(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn news(&mut self) -> Vec<(VmName, PortNews)> {
        Vec::new()
    }

    fn stopped(&mut self, _: &VmName) {}

    fn tell(&mut self, _: Option<&VmName>, _: EventKind) {}
}

impl AgentLab {
    /// A guest that can be spoken to.
    pub(crate) fn new() -> Self {
        let env = TestEnv::with_project();
        let layout = env.layout();
        for dir in [layout.root().to_owned(), layout.sessions(), layout.locks(), layout.logs()] {
            fs::create_dir_all(dir).unwrap();
        }
        let vm: VmName = "devbox".parse().unwrap();
        let port = socket::listen(layout.root(), &Layout::agent_socket_name(&vm)).unwrap();
        let machine = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let process = Process::of_pid(machine.id()).unwrap().unwrap().identity();
        let config = BrokerConfig { layout, lifetime: Lifetime::WithVms, window_ms: 6_000 };
        let broker = Broker::new(OneVm { run: RunToken::generate(), process }, config).unwrap();
        let helper = env.path().join("castra-agent");
        fs::write(&helper, castra_agent_embed::AGENT).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let config = Config {
            helper,
            root: PathBuf::from("/"),
            socket: Some(env.path().join("agent.sock")),
            stages: None,
        };
        let agent = thread::spawn(move || {
            let (port, _) = port.accept().unwrap();
            // Ends with the broker.
            let _ = serve(&port.into(), config, Hangup::End);
        });
        let broker = thread::spawn(move || broker.run().unwrap());
        fs::create_dir(env.path().join("guest")).unwrap();
        Self { env, machine, broker: Some(broker), agent: Some(agent) }
    }

    /// The directory that is the guest's.
    pub(crate) fn guest(&self) -> PathBuf {
        self.env.path().join("guest")
    }

    /// A path of the guest as `castra cp` takes it.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("devbox:{}", self.guest().join(name).display())
    }

    /// Where guest programs publish.
    pub(crate) fn bus_socket(&self) -> PathBuf {
        self.env.path().join("agent.sock")
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        wait(self.env.command(args).spawn().unwrap(), BOUND)
    }

    /// What is in a directory, by name.
    pub(crate) fn names(dir: &Path) -> Vec<String> {
        TestEnv::tree(dir)
    }
}

impl Drop for AgentLab {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
        // Without a machine the broker ends, and with it the agent.
        for thread in [self.broker.take(), self.agent.take()].into_iter().flatten() {
            let ended = thread.join();
            if !thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
