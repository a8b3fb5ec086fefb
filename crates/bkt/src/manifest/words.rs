//! The words of a manifest: each a type that cannot hold another.
//!
//! Pure. Tests: below; what a wrong word is told is in `tests/manifest`.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::limits::{MAX_INTERFACE_BYTES, MAX_MODEL_BYTES};
use super::name::{BadName, check_name};

/// How much memory a VM has, as it is written: in whole GiB or in whole MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// `memory_gb`.
    Gib(NonZeroU64),
    /// `memory_mb`.
    Mib(NonZeroU64),
}

impl Memory {
    /// In MiB.
    pub const fn mib(self) -> u64 {
        match self {
            Self::Gib(gib) => gib.get() * 1024,
            Self::Mib(mib) => mib.get(),
        }
    }
}

/// A closed list of words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// Every word with its meaning.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

choice! {
    /// What runs before the boot loader.
    BootChoice {
        /// UEFI.
        Uefi = "uefi",
        /// BIOS.
        Bios = "bios",
    }
}

choice! {
    /// The emulated TPM.
    TpmChoice {
        /// Version 2.0.
        V2_0 = "2.0",
        /// No TPM.
        None = "none",
    }
}

choice! {
    /// The display.
    GraphicsChoice {
        /// SPICE.
        Spice = "spice",
        /// VNC.
        Vnc = "vnc",
        /// No display.
        None = "none",
    }
}

choice! {
    /// What a disk is attached to.
    DiskBus {
        /// virtio: fast, and Windows needs its driver first.
        Virtio = "virtio",
        /// SATA.
        Sata = "sata",
        /// SCSI.
        Scsi = "scsi",
        /// IDE: machine type `pc` only.
        Ide = "ide",
        /// USB.
        Usb = "usb",
    }
}

/// What a VM's card is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChoice {
    /// A libvirt network, by name.
    Named(String),
    /// A bridge of the host, by name: `bridge:NAME`.
    Bridge(String),
    /// User-mode NAT: `user`.
    User,
    /// No card: `none`.
    None,
}

/// What stands before the name of a bridge.
const BRIDGE: &str = "bridge:";

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The bridge has no name that Linux would give it.
    #[error(
        "`bridge:` is followed by the name of a bridge: 1 to {MAX_INTERFACE_BYTES} bytes without blanks, `/` and `:`"
    )]
    Bridge,
    /// There is a colon, and it is no bridge.
    #[error("a network is the name of a libvirt network, `bridge:NAME`, `user` or `none`")]
    Kind,
    /// libvirt gives no network that name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl FromStr for NetworkChoice {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        match text {
            "user" => return Ok(Self::User),
            "none" => return Ok(Self::None),
            _ => {}
        }
        if let Some(bridge) = text.strip_prefix(BRIDGE) {
            return if is_interface(bridge) {
                Ok(Self::Bridge(bridge.to_owned()))
            } else {
                Err(NetworkError::Bridge)
            };
        }
        if text.contains(':') {
            return Err(NetworkError::Kind);
        }
        check_name("network", text)?;
        Ok(Self::Named(text.to_owned()))
    }
}

/// Whether Linux takes the name for a network interface.
fn is_interface(name: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    !name.is_empty()
        && name.len() <= MAX_INTERFACE_BYTES
        && !matches!(name, "." | "..")
        && name.chars().all(plain)
}

impl fmt::Display for NetworkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.pad(name),
            Self::Bridge(name) => f.pad(&format!("{BRIDGE}{name}")),
            Self::User => f.pad("user"),
            Self::None => f.pad("none"),
        }
    }
}

impl Serialize for NetworkChoice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The processor a guest sees: `host-passthrough`, `host-model`, `maximum` or a model's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuChoice(String);

/// A text that names no processor model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a processor model has at most {MAX_MODEL_BYTES} letters, digits and `_`, `-`, `.`, `+`")]
pub struct CpuChoiceError;

impl CpuChoice {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CpuChoice {
    type Err = CpuChoiceError;

    fn from_str(text: &str) -> Result<Self, CpuChoiceError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let plain = begins && text.chars().all(is_plain) && text.len() <= MAX_MODEL_BYTES;
        if plain { Ok(Self(text.to_owned())) } else { Err(CpuChoiceError) }
    }
}

impl fmt::Display for CpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_survives_its_text_form() {
        for (text, network) in [
            ("default", NetworkChoice::Named("default".into())),
            ("bridge:br0", NetworkChoice::Bridge("br0".into())),
            ("user", NetworkChoice::User),
            ("none", NetworkChoice::None),
            ("User", NetworkChoice::Named("User".into())),
            ("bridge", NetworkChoice::Named("bridge".into())),
        ] {
            assert_eq!(text.parse(), Ok(network.clone()), "{text}");
            assert_eq!(network.to_string(), text);
        }
    }

    #[test]
    fn a_bridge_needs_a_name_that_linux_would_give_it() {
        for text in
            ["bridge:", "bridge:a b", "bridge:a/b", "bridge:..", "bridge:a:b", "bridge:0123456789abcdef"]
        {
            assert_eq!(text.parse::<NetworkChoice>(), Err(NetworkError::Bridge), "{text}");
        }
        assert_eq!("brdige:br0".parse::<NetworkChoice>(), Err(NetworkError::Kind));
        assert!("bridge:0123456789abcde".parse::<NetworkChoice>().is_ok());
        assert!("a/b".parse::<NetworkChoice>().is_err());
    }

    #[test]
    fn a_processor_model_is_one_plain_word() {
        for text in ["host-passthrough", "EPYC-Rome", "Opteron_G5", "486", "Skylake-Client-noTSX-IBRS"] {
            assert_eq!(text.parse::<CpuChoice>().map(|cpu| cpu.to_string()), Ok(text.to_owned()));
        }
        for text in ["", " host-model", "-x", "a b", "a'b", &"x".repeat(65)] {
            assert_eq!(text.parse::<CpuChoice>(), Err(CpuChoiceError), "{text:?}");
        }
    }

    #[test]
    fn memory_is_the_same_in_either_unit() {
        let number = |n| NonZeroU64::new(n).unwrap();
        assert_eq!(Memory::Gib(number(8)).mib(), Memory::Mib(number(8192)).mib());
    }
}
