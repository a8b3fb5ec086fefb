//! A broker on a thread of the test, VMs that are a process each and a socket of the test's, and
//! commands that speak frames. Nothing here knows QEMU.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use castra_agent_proto::message::{Attach, Attached, Hello, body, session_frame};
use castra_agent_proto::{Frame, Kind};
use castra_testkit::until;
use plasmavmc_host::process::ProcessIdentity;
use plasmavmc_host::socket::Connected;

use super::*;
use crate::freshness::{BrokerLock, Evidence, Freshness, Reach, judge};
use crate::record::SessionRecord;
use crate::testing::{Line, reply};

pub(super) const BOUND: Duration = Duration::from_secs(10);

/// What the broker is told of VMs, and what it told.
#[derive(Default)]
pub(super) struct World {
    live: Vec<(VmName, RunToken, ProcessIdentity)>,
    pub(super) stopped: Vec<VmName>,
    pub(super) told: Vec<(Option<VmName>, EventKind)>,
}

pub(super) struct FakeVms(Arc<Mutex<World>>);

impl Vms for FakeVms {
    fn live(&mut self) -> Vec<LiveVm> {
        let world = self.0.lock().unwrap();
        let live = world.live.iter().filter_map(|(vm, run, identity)| {
            let process = Process::open(*identity).unwrap()?;
            Some(LiveVm { vm: vm.clone(), run: *run, process })
        });
        live.collect()
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn news(&mut self) -> Vec<(VmName, PortNews)> {
        Vec::new()
    }

    fn stopped(&mut self, vm: &VmName) {
        self.0.lock().unwrap().stopped.push(vm.clone());
    }

    fn tell(&mut self, vm: Option<&VmName>, kind: EventKind) {
        self.0.lock().unwrap().told.push((vm.cloned(), kind));
    }
}

/// A workspace with VMs, whose broker may run.
pub(super) struct Lab {
    pub(super) dir: tempfile::TempDir,
    pub(super) layout: Layout,
    pub(super) world: Arc<Mutex<World>>,
    vms: BTreeMap<VmName, (Child, UnixListener)>,
    pub(super) broker: Option<JoinHandle<()>>,
}

impl Lab {
    pub(super) fn new(vms: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let mut lab = Self { dir, layout, world: Arc::default(), vms: BTreeMap::new(), broker: None };
        for vm in vms {
            lab.add(vm);
        }
        lab
    }

    pub(super) fn add(&mut self, name: &str) {
        let vm: VmName = name.parse().unwrap();
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let identity = Process::of_pid(child.id()).unwrap().unwrap().identity();
        let listener = socket::listen(self.dir.path(), &Layout::agent_socket_name(&vm)).unwrap();
        self.world.lock().unwrap().live.push((vm.clone(), RunToken::generate(), identity));
        self.vms.insert(vm, (child, listener));
    }

    /// A broker that does only what the test has it do.
    pub(super) fn idle(&self) -> Broker<FakeVms> {
        let config =
            BrokerConfig { layout: self.layout.clone(), lifetime: Lifetime::WithVms, window_ms: 6_000 };
        Broker::new(FakeVms(Arc::clone(&self.world)), config).unwrap()
    }

    pub(super) fn start(&mut self) {
        let broker = self.idle();
        self.broker = Some(thread::spawn(move || broker.run().unwrap()));
    }

    /// The socket of a VM's `qemu-guest-agent`.
    pub(super) fn listen_qga(&self, name: &str) -> UnixListener {
        let vm = name.parse().unwrap();
        socket::listen(self.dir.path(), &Layout::guest_agent_socket_name(&vm)).unwrap()
    }

    /// The guest's end of a VM's port.
    pub(super) fn guest(&self, name: &str) -> Guest {
        let (_, listener) = &self.vms[&name.parse::<VmName>().unwrap()];
        let stream = listener.accept().unwrap().0;
        Guest(Line::new(stream))
    }

    /// A guest whose session is on.
    pub(super) fn guest_on(&self, name: &str) -> Guest {
        let mut guest = self.guest(name);
        guest.greet();
        self.until("reachable", || self.freshness(name).reach == Reach::Reachable);
        guest
    }

    pub(super) fn client(&self, attach: &Attach) -> (Line, Attached) {
        let Connected::Stream(stream) = socket::connect(self.dir.path(), Layout::BROKER_SOCKET_NAME).unwrap()
        else {
            panic!("no broker")
        };
        let mut line = Line::new(stream);
        line.send(&session_frame(Kind::Attach, attach));
        let attached = body(&line.next()).expect("it answers");
        (line, attached)
    }

    pub(super) fn streams(&self, vm: &str) -> Line {
        let (line, attached) = self.client(&Attach::Streams { vm: vm.to_owned() });
        assert_eq!(attached, Attached::Ok);
        line
    }

    pub(super) fn record(&self, name: &str) -> Option<SessionRecord> {
        SessionRecord::read(&self.layout, &name.parse().unwrap())
    }

    pub(super) fn freshness(&self, name: &str) -> Freshness {
        let vm: VmName = name.parse().unwrap();
        let world = self.world.lock().unwrap();
        let run = world.live.iter().find(|(live, ..)| *live == vm).map(|(_, run, _)| *run);
        judge(Evidence {
            broker: BrokerLock::Held,
            holder: Process::of_this_process().ok().map(|process| process.identity()),
            run,
            boot_id: plasmavmc_host::process::BootId::current().unwrap(),
            record: self.record(name).as_ref(),
            now_ms: boot_ms(),
            window_ms: 6_000,
        })
    }

    pub(super) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        until(BOUND, || if condition() { Ok(()) } else { Err(format!("{what}: {}", self.log())) });
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.layout.broker_log()).unwrap_or_default()
    }

    pub(super) fn stop(&mut self, name: &str) {
        let (mut child, _) = self.vms.remove(&name.parse().unwrap()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) fn ends(&mut self) {
        let broker = self.broker.take().unwrap();
        self.until("the broker's end", || broker.is_finished());
        broker.join().unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for (child, _) in self.vms.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(broker) = self.broker.take() {
            let _ = broker.join();
        }
    }
}

/// The guest's end.
pub(super) struct Guest(pub(super) Line);

impl Guest {
    pub(super) fn hello(&mut self) -> Hello {
        body(&self.next_of(Kind::Hello)).unwrap()
    }

    pub(super) fn greet(&mut self) {
        let hello = self.hello();
        self.0.send(&session_frame(Kind::HelloReply, &reply(&hello)));
        self.pong();
    }

    pub(super) fn pong(&mut self) {
        let ping = self.next_of(Kind::Ping);
        self.0.send(&Frame::session(Kind::Pong, ping.payload));
    }

    /// The next frame of that kind, pings answered meanwhile.
    pub(super) fn next_of(&mut self, kind: Kind) -> Frame {
        loop {
            let frame = self.0.next();
            if frame.kind == kind {
                return frame;
            }
            if frame.kind == Kind::Ping {
                self.0.send(&Frame::session(Kind::Pong, frame.payload));
            }
        }
    }
}

/// A `qemu-guest-agent`.
pub(super) struct FakeQga(pub(super) BufReader<UnixStream>);

impl FakeQga {
    /// The next command of that name, pings answered meanwhile.
    pub(super) fn next(&mut self, command: &str) -> serde_json::Value {
        loop {
            let mut line = Vec::new();
            assert!(self.0.read_until(b'\n', &mut line).unwrap() > 0, "the broker went");
            line.retain(|byte| *byte != 0xFF);
            let asked: serde_json::Value = serde_json::from_slice(&line).unwrap();
            if asked["execute"] == command {
                return asked;
            }
            assert_eq!(asked["execute"], "guest-ping");
            self.say(&serde_json::json!({ "return": {} }));
        }
    }

    pub(super) fn say(&mut self, answer: &serde_json::Value) {
        self.0.get_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
}
