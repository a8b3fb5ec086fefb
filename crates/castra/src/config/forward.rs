//! Reads `port_forwards`, and counts host ports up for replicas.
//!
//! Tests: below, and in `tests/config/faults.rs`.

use std::net::{IpAddr, Ipv4Addr};

use plasmavmc_types::{GuestPort, HostPort, PortForward, Protocol};

use super::Faults;
use super::limits::MAX_PORT_FORWARDS;
use super::rule::Rule;
use super::walk::{Located, Node, TableReader};

const EXAMPLE: &str = "port_forwards = [{ host = 2222, guest = 22 }]";

/// A forward as the config has it: of replica 0, where there are replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forward {
    address: IpAddr,
    host: u16,
    guest: GuestPort,
    protocol: Protocol,
}

impl Forward {
    /// The forward of a replica: it listens as many ports above `host` as the replica's number.
    pub(super) fn of_replica(&self, replica: u32) -> Result<PortForward, Rule> {
        let host = u64::from(self.host) + u64::from(replica);
        let host = HostPort::try_from(host).map_err(|_| Rule::ReplicaPort { host: self.host, replica })?;
        Ok(PortForward { address: self.address, host, guest: self.guest, protocol: self.protocol })
    }
}

/// Reads the list; faulty entries are noted and left out.
pub(super) fn read_list(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Vec<Located<Forward>>> {
    let entries = node.array(EXAMPLE, faults)?;
    if entries.len() > MAX_PORT_FORWARDS {
        faults.push(&node.at, &Rule::TooManyForwards { found: entries.len() });
        return None;
    }
    Some(entries.iter().filter_map(|entry| read(entry, faults)).collect())
}

fn read(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Located<Forward>> {
    let mut table = node.table("a port forward", EXAMPLE, faults)?;
    let host = read_port(&mut table, "host", "host = 2222", faults);
    let guest = read_port(&mut table, "guest", "guest = 22", faults);
    let protocol = table.take("protocol").map(|node| {
        node.choice(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)], "protocol = \"tcp\"", faults)
    });
    let address = table.take("address").map(|node| read_address(&node, faults));
    table.finish(faults);
    let forward = Forward {
        address: address.unwrap_or(Some(PortForward::LOOPBACK))?,
        host: host?,
        guest: GuestPort::try_from(u64::from(guest?)).ok()?,
        protocol: protocol.unwrap_or(Some(Protocol::default()))?,
    };
    Some(Located::new(forward, &node.at))
}

fn read_port(
    table: &mut TableReader<'_>,
    key: &'static str,
    example: &'static str,
    faults: &mut Faults<'_>,
) -> Option<u16> {
    table.missing(key, example, faults);
    let port = table.take(key)?.integer(&(1..=u32::from(u16::MAX)), example, faults)?;
    u16::try_from(port).ok()
}

fn read_address(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<IpAddr> {
    let text = node.text("address = \"127.0.0.1\"", faults)?;
    match text.parse::<Ipv4Addr>() {
        Ok(address) if !address.is_multicast() && !address.is_broadcast() => Some(address.into()),
        _ => {
            faults.push(&node.at, &Rule::Address { found: text.to_owned() });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_listens_its_number_above_the_first() {
        let forward = Forward {
            address: PortForward::LOOPBACK,
            host: 65_534,
            guest: GuestPort::try_from(22).unwrap(),
            protocol: Protocol::Tcp,
        };
        assert_eq!(forward.of_replica(1), Ok(PortForward::tcp(65_535, 22).unwrap()));
        assert_eq!(forward.of_replica(2), Err(Rule::ReplicaPort { host: 65_534, replica: 2 }));
        assert!(forward.of_replica(u32::MAX).is_err());
    }
}
