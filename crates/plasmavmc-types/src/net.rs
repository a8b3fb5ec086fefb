//! Ports, forwards and MAC addresses.
//!
//! A forward is written the way QEMU's user-mode network takes it: one host address and port, one
//! guest port, TCP or UDP. The host address is the loopback one unless a person says otherwise.
//! Tests: below.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! port {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU16);

        impl $name {
            /// The port as a number, 1 to 65535.
            pub const fn get(self) -> u16 {
                self.0.get()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = PortError;

            fn try_from(port: u64) -> Result<Self, Self::Error> {
                u16::try_from(port).ok().and_then(NonZeroU16::new).map(Self).ok_or(PortError { port })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

port! {
    /// A port on the host, 1 to 65535.
    HostPort
}
port! {
    /// A port in the guest, 1 to 65535.
    GuestPort
}

/// A number that is not a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{port} is not a port: ports go from 1 to 65535")]
pub struct PortError {
    /// The number as given.
    pub port: u64,
}

/// The protocol of a port forward.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One port of the host that leads into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortForward {
    /// The host address it listens on; `127.0.0.1` unless the config says otherwise.
    pub address: IpAddr,
    /// The port on the host.
    pub host: HostPort,
    /// The port in the guest.
    pub guest: GuestPort,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl PortForward {
    /// The address a forward listens on by default: this machine only.
    pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A TCP forward on the loopback address.
    ///
    /// # Errors
    /// [`PortError`] where a number is not a port.
    pub fn tcp(host: u64, guest: u64) -> Result<Self, PortError> {
        Ok(Self {
            address: Self::LOOPBACK,
            host: host.try_into()?,
            guest: guest.try_into()?,
            protocol: Protocol::Tcp,
        })
    }

    /// Whether both would listen on the same host socket.
    ///
    /// An unspecified address (`0.0.0.0`) listens on every address, so it clashes with each.
    pub fn clashes_with(&self, other: &Self) -> bool {
        self.host == other.host
            && self.protocol == other.protocol
            && (self.address == other.address
                || self.address.is_unspecified()
                || other.address.is_unspecified())
    }
}

/// Shows `127.0.0.1:2222 -> 22/tcp`.
impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} -> {}/{}", self.address, self.host, self.guest, self.protocol)
    }
}

/// An Ethernet address, unicast and locally administered when generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// A text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a MAC address: write six pairs of hexadecimal digits, such as `52:54:00:12:34:56`")]
pub struct MacError {
    /// The text as given.
    pub text: String,
}

impl MacAddr {
    /// QEMU's own prefix with three bytes taken from `seed`, so a VM keeps its address.
    pub fn from_seed(seed: [u8; 3]) -> Self {
        Self([0x52, 0x54, 0x00, seed[0], seed[1], seed[2]])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MacError { text: text.to_owned() };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() || bytes[0] & 1 == 1 { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_1_to_65535_is_a_port() {
        assert_eq!(HostPort::try_from(65_535).unwrap().get(), 65_535);
        for port in [0, 65_536, u64::MAX] {
            assert_eq!(HostPort::try_from(port), Err(PortError { port }));
        }
    }

    #[test]
    fn an_unspecified_address_clashes_with_every_address() {
        let local = PortForward::tcp(8080, 80).unwrap();
        let every = PortForward { address: Ipv4Addr::UNSPECIFIED.into(), ..local.clone() };
        let udp = PortForward { protocol: Protocol::Udp, ..local.clone() };
        assert!(local.clashes_with(&every) && every.clashes_with(&local));
        assert!(!local.clashes_with(&udp));
    }

    #[test]
    fn a_mac_survives_its_text_form_and_multicast_is_refused() {
        let mac = MacAddr::from_seed([1, 2, 0xff]);
        assert_eq!(mac.to_string(), "52:54:00:01:02:ff");
        assert_eq!(mac.to_string().parse::<MacAddr>(), Ok(mac));
        for text in [
            "",
            "52:54:00",
            "01:00:5e:00:00:01",
            "52:54:00:12:34:56:78",
            "5254.0012.3456",
            "+1:54:00:12:34:5",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
