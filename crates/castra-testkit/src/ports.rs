//! Host ports for guests, each handed to one test at a time.
//!
//! They lie outside the range the kernel gives to whoever asks for any port, so nobody takes one by
//! chance. Other tests are kept off by an abstract socket named after the port: there is one per
//! network namespace, as there is of the port, and it goes with the process that has it.
//!
//! Tests: below.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// The ports this process has, until it ends.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// The fewest ports worth looking through.
const ENOUGH: u16 = 1000;

/// A port nobody listens on, nor will: it is this process's until it ends.
///
/// # Panics
/// Where there is none.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` neighbouring ports, each as [`free_port`].
///
/// # Panics
/// Where there are none.
pub fn free_ports(count: u16) -> u16 {
    let range = range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
    let (first, size) = (*range.start(), range.end() - range.start() + 1 - count);
    // Not all from the same place: a port that was used a moment ago may still be on its way out.
    let offset = u16::try_from(std::process::id() % u32::from(size)).expect("less than the size");
    let found = (0..size).map(|step| first + (offset + step) % size).find(|&port| take(port, count));
    found.expect("some ports of the host are free")
}

/// Ports of ordinary users outside the range of those the kernel gives out.
fn range(given_out: &str) -> RangeInclusive<u16> {
    let mut limits = given_out.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (low, high) = (limits.next().unwrap_or(32768), limits.next().unwrap_or(60999));
    // Well-known servers have most of the ports below 10000.
    let (below, above) = (10_000..=low.saturating_sub(1), high.saturating_add(1)..=u16::MAX);
    let fits = |range: &RangeInclusive<u16>| range.end().saturating_sub(*range.start()) >= ENOUGH;
    if fits(&below) || !fits(&above) { below } else { above }
}

/// Takes all of `count` ports from `first` on, or none.
fn take(first: u16, count: u16) -> bool {
    let sockets: Option<Vec<UnixListener>> = (first..first + count).map(claim).collect();
    let Some(sockets) = sockets else { return false };
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
    true
}

fn claim(port: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("castra-test-port-{port}")).ok()?;
    let claim = UnixListener::bind_addr(&name).ok()?;
    // Held by a program that is no test of ours.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_neighbours_together() {
        let (one, three) = (free_port(), free_ports(3));
        assert!(!(three..three + 3).contains(&one));
        for port in three..three + 3 {
            assert_eq!(claim(port).map(drop), None, "{port} was given twice");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody listens there");
        }
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("any port");
        assert!(!take(held.local_addr().expect("its address").port(), 1));
    }

    #[test]
    fn ports_lie_outside_of_those_the_kernel_gives_out() {
        assert_eq!(range("32768\t60999\n"), 10_000..=32767);
        assert_eq!(range("1024 32767"), 32768..=65535);
        assert_eq!(range(""), 10_000..=32767);
    }
}
