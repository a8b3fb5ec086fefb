//! Reads the kernel's tables of sockets (`/proc/net/tcp` and its kin). Pure.
//!
//! Lines that do not read as expected are passed over: a table may grow columns. Format: the
//! kernel's `Documentation/networking/proc_net_tcp.rst`. Tests: below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use plasmavmc_types::{PortForward, Protocol};

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningSocket {
    /// The address it listens on; an IPv4 address inside an IPv6 one is shown as itself.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The user who made it.
    pub uid: u32,
    /// Its inode: the number in `socket:[…]` among a process's descriptors.
    pub inode: u64,
}

impl ListeningSocket {
    /// Whether `forward` cannot be bound because of it. An IPv6 socket on every address takes IPv4
    /// as well, unless it asked not to, which the table does not tell.
    pub fn is_in_the_way_of(&self, forward: &PortForward) -> bool {
        in_the_way(self.address, self.port, self.protocol, forward)
    }
}

/// Whether a socket on that address and port is in the way of `forward`.
pub(super) fn in_the_way(address: IpAddr, port: u16, protocol: Protocol, forward: &PortForward) -> bool {
    let every = address.is_unspecified() || forward.address.is_unspecified();
    port == forward.host.get()
        && protocol == forward.protocol
        && (every || address == forward.address.to_canonical())
}

/// The listening sockets in a table. For UDP that is every socket that is bound and not connected.
pub fn parse_table(text: &str, protocol: Protocol) -> Vec<ListeningSocket> {
    // `include/net/tcp_states.h`: 0A is LISTEN, and 07 is what UDP calls unconnected.
    let listening = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    text.lines().skip(1).filter_map(|line| parse_line(line, protocol, listening)).collect()
}

fn parse_line(line: &str, protocol: Protocol, listening: &str) -> Option<ListeningSocket> {
    let mut columns = line.split_whitespace();
    let (address, port) = columns.nth(1)?.split_once(':')?;
    if columns.nth(1)? != listening {
        return None;
    }
    let uid = columns.nth(3)?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(ListeningSocket { address: parse_address(address)?, port, protocol, uid, inode })
}

/// An address as the kernel prints it: 32-bit words, each in the processor's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 0000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0000 100 0 0 10 0
   2: 0100007F:08AE 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 31338 1 0000 20 4 30 10 -1
   3: nonsense
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7 1 0000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 8 1 0000 100 0 0 10 0
";
    const UDP: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  412: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 99 2 0000 0
";

    // The tables above are from a little-endian machine.
    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_are_read_and_connections_are_not() {
        let read = |text, protocol| -> Vec<_> {
            let sockets = parse_table(text, protocol).into_iter();
            sockets.map(|s| (s.address.to_string(), s.port, s.uid, s.inode)).collect()
        };
        assert_eq!(
            read(TCP, Protocol::Tcp),
            [("127.0.0.1".to_owned(), 2222, 1000, 31337), ("0.0.0.0".to_owned(), 80, 0, 42)]
        );
        assert_eq!(
            read(TCP6, Protocol::Tcp),
            [("::".to_owned(), 8080, 1000, 7), ("127.0.0.1".to_owned(), 8081, 1000, 8)]
        );
        assert_eq!(read(UDP, Protocol::Udp), [("127.0.0.1".to_owned(), 53, 101, 99)]);
        assert_eq!(read(UDP, Protocol::Tcp), []);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn only_what_shares_port_protocol_and_address_is_in_the_way() {
        let tcp = parse_table(TCP, Protocol::Tcp);
        let every6 = &parse_table(TCP6, Protocol::Tcp)[0];
        let wanted = PortForward::tcp(2222, 22).unwrap();
        assert!(tcp[0].is_in_the_way_of(&wanted) && !tcp[1].is_in_the_way_of(&wanted));
        assert!(!tcp[0].is_in_the_way_of(&PortForward { protocol: Protocol::Udp, ..wanted.clone() }));
        assert!(!tcp[0].is_in_the_way_of(&PortForward { address: [127, 0, 0, 2].into(), ..wanted.clone() }));
        assert!(tcp[0].is_in_the_way_of(&PortForward { address: [0, 0, 0, 0].into(), ..wanted }));
        assert!(every6.is_in_the_way_of(&PortForward::tcp(8080, 80).unwrap()));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(sl\n)?([ 0-9A-Fa-f:é]{0,80}\n){0,4}") {
            let _ = parse_table(&text, Protocol::Tcp);
            let _ = parse_table(&text, Protocol::Udp);
        }
    }
}
