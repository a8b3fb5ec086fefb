//! Who listens on a port of the host.
//!
//! Owns: asking whether a forward could be bound right now ([`availability`]), and naming the
//! process that is in its way ([`holders`]). Never does: reserve a port: between the answer and
//! QEMU's own bind anything may happen, and QEMU's error is the last word. Called by preflight and
//! by `castra ports`, not by `castra status`. Tests: below and in `table.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use plasmavmc_types::{PortForward, Protocol};
use serde::Serialize;

use crate::{HostError, IoContext};

mod table;

pub use table::{ListeningSocket, parse_table};

/// Whether a forward could be bound right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Nothing is in its way.
    Free,
    /// Something else listens there.
    Taken,
    /// This user may not bind the port: those below 1024 are for root.
    Forbidden,
    /// The host has no such address.
    NoSuchAddress,
}

/// A process, or the lack of one we may see, behind a listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "holder", rename_all = "snake_case")]
pub enum Holder {
    /// A process of this user's, or any process where this user is root.
    Process {
        /// Its process id.
        pid: u32,
        /// The name of its program.
        command: String,
    },
    /// A process of another user's.
    OtherUser {
        /// The user's id.
        uid: u32,
    },
    /// No process this user could see: it is in another namespace, or just ended.
    Unknown,
}

/// A socket that listens on a port, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The address it listens on.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who holds it.
    #[serde(flatten)]
    pub holder: Holder,
}

impl Listener {
    /// Whether `forward` cannot be bound because of it.
    pub fn is_in_the_way_of(&self, forward: &PortForward) -> bool {
        table::in_the_way(self.address, self.port, self.protocol, forward)
    }
}

/// Whether this host has the address, so that something can listen on it.
///
/// Takes no port that anyone may want.
pub fn has_address(address: IpAddr) -> bool {
    address.is_unspecified() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// Whether this user may listen on `port` at all: those below a limit are for root.
///
/// A program with `CAP_NET_BIND_SERVICE` may as well; that is not looked for here.
pub fn is_permitted(port: u16) -> bool {
    let limit = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let limit = limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    port >= limit || rustix::process::geteuid().is_root()
}

/// Tries to bind a forward the way QEMU's user-mode network does, and lets it go at once.
///
/// # Errors
/// [`HostError::Io`] where the system refuses for a reason that is not the port's.
pub fn availability(forward: &PortForward) -> Result<Availability, HostError> {
    let address = SocketAddr::new(forward.address, forward.host.get());
    // Both as libslirp does it (`src/socket.c`, `src/udp.c`): TCP reuses a port whose last
    // connection lingers, which is also what the standard library does; UDP reuses nothing.
    let result = match forward.protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    };
    match result {
        Ok(()) => Ok(Availability::Free),
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse => Ok(Availability::Taken),
            io::ErrorKind::PermissionDenied => Ok(Availability::Forbidden),
            io::ErrorKind::AddrNotAvailable => Ok(Availability::NoSuchAddress),
            _ => Err(error).context("bind", &PathBuf::from(address.to_string())),
        },
    }
}

/// Everything that listens where `forward` wants to, with the processes behind it.
///
/// # Errors
/// [`HostError::Io`] where `/proc` cannot be read.
pub fn holders(forward: &PortForward) -> Result<Vec<Listener>, HostError> {
    let sockets: Vec<_> = sockets()?.into_iter().filter(|socket| socket.is_in_the_way_of(forward)).collect();
    Ok(with_holders(sockets))
}

/// Everything that listens on this host, with the processes behind it.
///
/// # Errors
/// [`HostError::Io`] where `/proc` cannot be read.
pub fn listeners() -> Result<Vec<Listener>, HostError> {
    Ok(with_holders(sockets()?))
}

fn sockets() -> Result<Vec<ListeningSocket>, HostError> {
    let tables = [
        ("/proc/net/tcp", Protocol::Tcp),
        ("/proc/net/tcp6", Protocol::Tcp),
        ("/proc/net/udp", Protocol::Udp),
        ("/proc/net/udp6", Protocol::Udp),
    ];
    let mut sockets = Vec::new();
    for (path, protocol) in tables {
        match fs::read_to_string(path) {
            Ok(text) => sockets.extend(parse_table(&text, protocol)),
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read", Path::new(path)),
        }
    }
    Ok(sockets)
}

fn with_holders(sockets: Vec<ListeningSocket>) -> Vec<Listener> {
    let mut processes = if sockets.is_empty() { BTreeMap::new() } else { processes_of(&sockets) };
    let me = rustix::process::geteuid().as_raw();
    sockets
        .into_iter()
        .map(|socket| {
            let holder = match processes.remove(&socket.inode) {
                Some((pid, command)) => Holder::Process { pid, command },
                None if socket.uid != me => Holder::OtherUser { uid: socket.uid },
                None => Holder::Unknown,
            };
            Listener { address: socket.address, port: socket.port, protocol: socket.protocol, holder }
        })
        .collect()
}

/// The first process that holds each socket, by the socket's inode. Looks at every process this
/// user may look at, until all sockets are found; what vanishes meanwhile is passed over.
fn processes_of(sockets: &[ListeningSocket]) -> BTreeMap<u64, (u32, String)> {
    let mut found = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if found.len() == sockets.len() {
            break;
        }
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let inode = fs::read_link(descriptor.path()).ok().and_then(|target| socket_inode(&target));
            if let Some(inode) = inode
                && sockets.iter().any(|socket| socket.inode == inode)
            {
                found.entry(inode).or_insert_with(|| (pid, command_of(pid)));
            }
        }
    }
    found
}

/// The inode in `socket:[1234]`.
fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The name of a process's program: what it was started as, else what the kernel calls it.
fn command_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let name =
        String::from_utf8_lossy(first.rsplit(|&byte| byte == b'/').next().unwrap_or_default()).into_owned();
    if name.is_empty() {
        return fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn forward(address: SocketAddr, protocol: Protocol) -> PortForward {
        PortForward {
            address: address.ip(),
            host: u64::from(address.port()).try_into().unwrap(),
            guest: 22_u64.try_into().unwrap(),
            protocol,
        }
    }

    #[test]
    fn a_port_of_ours_is_taken_and_its_holder_is_this_process() {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for wanted in [
            forward(tcp.local_addr().unwrap(), Protocol::Tcp),
            forward(udp.local_addr().unwrap(), Protocol::Udp),
        ] {
            assert_eq!(availability(&wanted).unwrap(), Availability::Taken, "{wanted}");
            let holders = holders(&wanted).unwrap();
            let [listener] = &holders[..] else { panic!("{holders:?}") };
            assert!(
                matches!(&listener.holder, Holder::Process { pid, command }
                    if *pid == std::process::id() && command.starts_with("plasmavmc_host")),
                "{listener:?}"
            );
        }
    }

    #[test]
    fn every_address_is_in_the_way_of_one() {
        let every = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = every.local_addr().unwrap().port();
        let wanted = forward((Ipv4Addr::LOCALHOST, port).into(), Protocol::Tcp);
        assert_eq!(availability(&wanted).unwrap(), Availability::Taken);
        assert_eq!(holders(&wanted).unwrap().len(), 1);
    }

    #[test]
    fn a_port_is_free_again_at_once_even_after_a_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        // Closed first on this side: its port lingers in TIME_WAIT.
        drop(server);
        drop(client);
        drop(listener);
        let wanted = forward(address, Protocol::Tcp);
        assert_eq!(availability(&wanted).unwrap(), Availability::Free);
        assert_eq!(availability(&wanted).unwrap(), Availability::Free, "asking took the port");
        assert_eq!(holders(&wanted).unwrap(), []);
    }

    #[test]
    fn an_address_of_another_host_is_told_apart() {
        // 192.0.2.0/24 is for documentation (RFC 5737): no host has it.
        let wanted = forward(([192, 0, 2, 1], 2222).into(), Protocol::Tcp);
        assert_eq!(availability(&wanted).unwrap(), Availability::NoSuchAddress);
        assert!(!has_address(wanted.address));
        assert!(has_address(Ipv4Addr::LOCALHOST.into()) && has_address(Ipv4Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn an_ordinary_port_is_permitted_to_everyone() {
        assert!(is_permitted(u16::MAX));
        assert_eq!(is_permitted(1), rustix::process::geteuid().is_root());
    }
}
