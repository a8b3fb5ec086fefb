//! The cloud-init seed of a VM: a small disk that tells the guest its name, keys and network.
//!
//! NoCloud: a FAT volume labelled `CIDATA` with `meta-data`, `user-data`, `network-config` and, where there
//! is something to say beside the user's own words, `vendor-data`; read
//! by cloud-init, by Alpine's tiny-cloud and by the image `castra image build tiny` makes.
//!
//! Whose word holds: Castra's name and keys stand in `meta-data`, and a user's user-data is handed
//! over byte for byte, so everything it says wins over what Castra says. Merging the two into one
//! MIME message would hide it from tiny-cloud, which takes one document only. Without user-data of
//! the user's, Castra writes a `#cloud-config` that says the same as `meta-data`, for the guests that
//! read only there.
//!
//! Guests whose image has no agent get it with the seed: `castra-agent` and the script that installs
//! it lie on the volume, and `vendor-data`, which cloud-init heeds beside the user's word, runs it.
//!
//! The image is a pure function of a [`Seed`]: same seed, same bytes. Never does: run in the guest,
//! parse a user's YAML. Tests: below, and with `mtools` and `blkid` in `tests/seed_oracle.rs`.

use std::fmt;
use std::io;
use std::path::Path;

use plasmavmc_types::{ByteSize, ErrorKind, Explain, MacAddr};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::keys::KeyPair;
use crate::{HostError, agent, publish};

mod reader;
mod vendor;
mod volume;

pub use reader::{Ignored, SeedReader};

/// The most a user's user-data or network-config may hold. Clouds allow 16 to 64 KiB; a file on a
/// disk has no such limit, but a seed is no way to hand over an archive.
pub const MAX_FILE: ByteSize = ByteSize::mib(1);

/// The file that holds the host key for Dropbear, which the tiny guest runs. cloud-init, which knows
/// nothing of it, is told in its own words.
const DROPBEAR_KEY: &str = "dropbear-host-key";

/// What a guest is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Who the guest is. A guest that sees an id for the first time sets itself up.
    pub instance_id: InstanceId,
    /// Its host name, as [`plasmavmc_types::VmName::to_hostname`] makes it.
    pub hostname: String,
    /// Who may log in: keys of the image's default user.
    pub ssh_keys: Vec<SshPublicKey>,
    /// What the guest proves who it is with; none to let it make a key of its own.
    pub host_key: Option<KeyPair>,
    /// The user's own user-data, handed over as it is; none for Castra's.
    pub user_data: Option<Vec<u8>>,
    /// How the guest finds its network.
    pub network: SeedNetwork,
    /// The guest's agent, for guests whose image has none.
    pub agent: Option<&'static [u8]>,
}

/// How the guest finds its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeedNetwork {
    /// The cards with these addresses, in order, are named `eth0` and on and ask by DHCP.
    Dhcp(Vec<MacAddr>),
    /// A network-config of the user's own, handed over as it is.
    Own(Vec<u8>),
}

/// Identifies one life of a guest's disk: kept while the disk is, new with each new overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(Uuid);

impl InstanceId {
    /// Draws a new id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id of a guest that has a UUID already.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i-{}", self.0.simple())
    }
}

/// One line of an `authorized_keys` file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshPublicKey(String);

impl SshPublicKey {
    /// The key as text: type, key, and perhaps a comment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SshPublicKey {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let known = ["ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
        if !known.iter().any(|kind| text.starts_with(kind)) || text.contains(char::is_control) {
            return Err(SeedError::Key { text: text.chars().take(40).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a seed cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// A text is not a public key.
    #[error("`{text}` is not a line with an SSH public key")]
    Key {
        /// How it begins.
        text: String,
    },
    /// A file is larger than [`MAX_FILE`].
    #[error("{what} has {size}; a seed holds at most {MAX_FILE}")]
    TooLarge {
        /// Which file: "user-data".
        what: &'static str,
        /// Its size.
        size: ByteSize,
    },
    /// A file is not text that a guest would read as what it is meant to be.
    #[error("user-data begins with {start:?}, which cloud-init does not know and would ignore")]
    UserDataKind {
        /// Its first line, or the beginning of it.
        start: String,
    },
    /// The guest would skip some of a user's user-data.
    #[error("{reader} would ignore {found} of user-data")]
    Ignored {
        /// Who reads it.
        reader: SeedReader,
        /// What it would skip.
        found: String,
    },
    /// The volume could not be laid out.
    #[error("the seed's file system cannot be made")]
    Volume {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The seed could not be written.
    #[error("the seed cannot be written")]
    Host {
        /// Why not.
        #[source]
        source: HostError,
    },
}

impl Seed {
    /// The bytes of the volume.
    ///
    /// # Errors
    /// [`SeedError::TooLarge`], [`SeedError::UserDataKind`], [`SeedError::Volume`].
    pub fn image(&self) -> Result<Vec<u8>, SeedError> {
        let mut files = vec![
            ("meta-data", self.meta_data().into_bytes()),
            ("user-data", self.user_data()?),
            ("network-config", self.network_config()),
        ];
        files.extend(vendor::document(&self.vendor_parts()).map(|text| ("vendor-data", text)));
        files.extend(self.host_key.as_ref().map(|key| (DROPBEAR_KEY, key.to_dropbear())));
        for (what, bytes) in &files {
            let size = ByteSize::bytes(bytes.len() as u64);
            if size > MAX_FILE {
                return Err(SeedError::TooLarge { what, size });
            }
        }
        if let Some(bytes) = self.agent {
            files.push((agent::SCRIPT_NAME, agent::install_script().into_bytes()));
            files.push((agent::NAME, bytes.to_vec()));
        }
        volume::fat(&files).map_err(|source| SeedError::Volume { source })
    }

    /// Writes the volume to `path`, whole, readable by this user only.
    ///
    /// # Errors
    /// [`SeedError`]; `path` is then as it was before.
    pub fn write(&self, path: &Path) -> Result<(), SeedError> {
        let image = self.image()?;
        let host = |source| SeedError::Host { source };
        if let Some(dir) = path.parent() {
            publish::private_dir(dir).map_err(host)?;
        }
        // Every start of the VM writes it anew.
        publish::write_for_this_boot(path, &image).map_err(host)
    }

    /// YAML in which every text is quoted: a host named `0` or `true` stays a text. cloud-init reads
    /// `local-hostname`, tiny-cloud `hostname`.
    fn meta_data(&self) -> String {
        let hostname = quoted(&self.hostname);
        let mut text = format!(
            "instance-id: {}\nlocal-hostname: {hostname}\nhostname: {hostname}\n",
            quoted(&self.instance_id.to_string())
        );
        if !self.ssh_keys.is_empty() {
            text.push_str("public-keys:\n");
            for key in &self.ssh_keys {
                text.push_str(&format!("  - {}\n", quoted(key.as_str())));
            }
        }
        text
    }

    /// What Castra says beside a user's own user-data, which wins over it.
    fn vendor_parts(&self) -> Vec<vendor::Part> {
        let host_key = self.host_key.as_ref().filter(|_| self.user_data.is_some());
        let parts = host_key.map(|key| {
            let config = json!({ "ssh_keys": self.ssh_keys_of(key) });
            vendor::Part { kind: "cloud-config", text: format!("#cloud-config\n{config:#}\n") }
        });
        let agent = self.agent.map(|_| vendor::Part { kind: "cloud-boothook", text: agent::boothook() });
        parts.into_iter().chain(agent).collect()
    }

    /// A host key as cloud-init takes it.
    fn ssh_keys_of(&self, key: &KeyPair) -> serde_json::Value {
        json!({
            "ed25519_private": key.to_openssh(&self.hostname),
            "ed25519_public": format!("{} {}", key.public_line(), self.hostname),
        })
    }

    fn user_data(&self) -> Result<Vec<u8>, SeedError> {
        let Some(own) = &self.user_data else {
            let mut config = json!({ "hostname": self.hostname });
            if let Some(key) = &self.host_key {
                config["ssh_keys"] = self.ssh_keys_of(key);
            }
            // For tiny-cloud, which reads no vendor-data. What runs twice does nothing the second time.
            if self.agent.is_some() {
                config["bootcmd"] = json!([agent::install_line()]);
            }
            if !self.ssh_keys.is_empty() {
                config["ssh_authorized_keys"] = self
                    .ssh_keys
                    .iter()
                    .map(|key| key.as_str().into())
                    .collect::<Vec<serde_json::Value>>()
                    .into();
            }
            return Ok(format!("#cloud-config\n{config:#}\n").into_bytes());
        };
        if is_user_data(own) {
            return Ok(own.clone());
        }
        let line = own.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let start = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        Err(SeedError::UserDataKind { start })
    }

    /// Cards are matched by address and given a name, because cloud-init matches by name pattern
    /// only where it writes netplan; `optional` spares the guest waiting for a card with no cable.
    fn network_config(&self) -> Vec<u8> {
        let cards = match &self.network {
            SeedNetwork::Own(bytes) => return bytes.clone(),
            SeedNetwork::Dhcp(cards) => cards,
        };
        let ethernets: serde_json::Map<_, _> = cards
            .iter()
            .enumerate()
            .map(|(index, mac)| {
                let name = format!("eth{index}");
                let card = json!({
                    "match": { "macaddress": mac.to_string() },
                    "set-name": name,
                    "dhcp4": true,
                    "optional": true,
                });
                (name, card)
            })
            .collect();
        format!("{:#}\n", json!({ "version": 2, "ethernets": ethernets })).into_bytes()
    }
}

/// A text as a YAML scalar: YAML reads JSON's quoted strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether cloud-init takes it for user-data: it goes by the first bytes (cloud-init's
/// documentation, "User-data formats").
fn is_user_data(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 8] = [
        b"#cloud-config",
        b"#!",
        b"#include",
        b"#cloud-boothook",
        b"#part-handler",
        b"## template: jinja",
        b"#alpine-config",
        b"\x1f\x8b",
    ];
    let text = bytes.trim_ascii_start();
    let mime = || {
        let head = text[..text.len().min(200)].to_ascii_lowercase();
        [&b"content-type:"[..], b"mime-version:", b"from "].iter().any(|start| head.starts_with(start))
    };
    text.is_empty() || STARTS.iter().any(|start| text.starts_with(start)) || mime()
}

impl Explain for SeedError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::Volume { .. } => ErrorKind::Internal,
            Self::Key { .. } | Self::TooLarge { .. } | Self::UserDataKind { .. } | Self::Ignored { .. } => {
                ErrorKind::Config
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::UserDataKind { .. } => {
                vec![
                    "begin it with `#cloud-config` for settings, or with `#!/bin/sh` for a script".to_owned(),
                ]
            }
            Self::Ignored { reader, .. } => {
                let taken: Vec<String> =
                    reader.taken().unwrap_or_default().iter().map(|key| format!("`{key}`")).collect();
                vec![
                    format!("it takes {}", taken.join(", ")),
                    "do the rest in a script: `[vms.bootstrap]` and below it `script = \"bootstrap.sh\"`"
                        .to_owned(),
                ]
            }
            Self::TooLarge { .. } => vec!["fetch large files from the guest, in `runcmd`".to_owned()],
            Self::Key { .. } => {
                vec!["make one: `ssh-keygen -t ed25519`, and use the file ending in `.pub`".to_owned()]
            }
            Self::Volume { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Seed {
        Seed {
            instance_id: InstanceId(Uuid::nil()),
            hostname: "web".to_owned(),
            ssh_keys: vec!["ssh-ed25519 AAAA \"me\"".parse().unwrap()],
            host_key: None,
            user_data: None,
            network: SeedNetwork::Dhcp(vec![MacAddr::from_seed([1, 2, 3])]),
            agent: None,
        }
    }

    #[test]
    fn what_a_guest_is_told_is_exactly_this() {
        assert_eq!(
            seed().meta_data(),
            "instance-id: \"i-00000000000000000000000000000000\"\nlocal-hostname: \"web\"\n\
             hostname: \"web\"\npublic-keys:\n  - \"ssh-ed25519 AAAA \\\"me\\\"\"\n"
        );
        assert_eq!(
            String::from_utf8(seed().user_data().unwrap()).unwrap(),
            "#cloud-config\n{\n  \"hostname\": \"web\",\n  \"ssh_authorized_keys\": [\n    \
             \"ssh-ed25519 AAAA \\\"me\\\"\"\n  ]\n}\n"
        );
        let network: serde_json::Value = serde_json::from_slice(&seed().network_config()).unwrap();
        assert_eq!(
            network,
            json!({ "version": 2, "ethernets": { "eth0": {
                "match": { "macaddress": "52:54:00:01:02:03" },
                "set-name": "eth0", "dhcp4": true, "optional": true,
            } } })
        );
    }

    #[test]
    fn a_users_word_is_handed_over_as_it_is() {
        for own in [
            "#cloud-config\nhostname: theirs\n",
            "#!/bin/sh\r\necho hi",
            "## template: jinja\n#cloud-config\n",
            "Content-Type: multipart/mixed; boundary=x\n\n",
            "",
        ] {
            let seed = Seed { user_data: Some(own.into()), ..seed() };
            assert_eq!(seed.user_data().unwrap(), own.as_bytes());
        }
    }

    #[test]
    fn a_host_key_is_in_castras_word_or_beside_the_users() {
        let key = KeyPair::generate().unwrap();
        let secret = key.to_openssh("web");
        let said = |text: &[u8]| {
            let text = std::str::from_utf8(text).unwrap().strip_prefix("#cloud-config\n").unwrap().to_owned();
            let config: serde_json::Value = serde_json::from_str(&text).unwrap();
            config["ssh_keys"]["ed25519_private"] == secret.as_str()
                && config["ssh_keys"]["ed25519_public"] == format!("{} web", key.public_line())
        };
        let own = Seed { host_key: Some(key.clone()), ..seed() };
        assert!(said(&own.user_data().unwrap()));
        assert_eq!(vendor::document(&own.vendor_parts()), None);
        let theirs = Seed { user_data: Some(b"#!/bin/sh\n".to_vec()), ..own };
        assert_eq!(theirs.user_data().unwrap(), b"#!/bin/sh\n");
        assert!(said(&vendor::document(&theirs.vendor_parts()).unwrap()));
    }

    #[test]
    fn user_data_that_cloud_init_would_ignore_is_refused() {
        for own in ["hostname: theirs\n", "# cloud-config\n", "\u{feff}#cloud-config"] {
            let seed = Seed { user_data: Some(own.into()), ..seed() };
            assert!(matches!(seed.image(), Err(SeedError::UserDataKind { .. })), "{own:?}");
        }
    }

    #[test]
    fn the_agent_travels_beside_a_users_word_and_within_our_own() {
        let own = b"#cloud-config\n{}\n".to_vec();
        let with_agent = Seed { agent: Some(&[7; 3 << 19]), ..seed() };
        let theirs = Seed { user_data: Some(own.clone()), ..with_agent.clone() };
        assert_eq!(theirs.user_data().unwrap(), own);
        let ours = String::from_utf8(with_agent.user_data().unwrap()).unwrap();
        assert!(ours.contains("\"bootcmd\": [\n    \"mkdir -p /run/castra-seed && mount"), "{ours}");
        assert_eq!(with_agent.image().unwrap().len(), 2 << 20);
    }

    #[test]
    fn a_seed_grows_with_its_files_up_to_their_limit() {
        let of = |bytes: usize| {
            let mut own = b"#!/bin/sh\n".to_vec();
            own.resize(bytes, b'#');
            Seed { user_data: Some(own.clone()), network: SeedNetwork::Own(own), ..seed() }.image()
        };
        let limit = usize::try_from(MAX_FILE.as_bytes()).unwrap();
        assert_eq!(of(100).unwrap().len(), 1 << 20);
        assert_eq!(of(limit).unwrap().len(), 3 << 20);
        assert!(matches!(of(limit + 1), Err(SeedError::TooLarge { what: "user-data", .. })));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "ssh-rsa A\nssh-rsa B",
            "ssh-ed25519",
            "no-pty ssh-rsa A",
        ] {
            assert!(text.parse::<SshPublicKey>().is_err(), "{text:?} was accepted");
        }
        assert!(" ssh-ed25519 AAAA me@host\n".parse::<SshPublicKey>().is_ok());
    }
}
