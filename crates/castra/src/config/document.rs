//! The tables of a `castra.toml` as they are written: what the JSON Schema and the reference are
//! made of, and what a snapshot is written with.
//!
//! Reading does not use these types: it reports every fault, which a derived reader cannot. That
//! both agree is tested in `tests/config/schema.rs`. Comments here are the documentation users see.

use std::collections::BTreeMap;

use plasmavmc_types::{AcceleratorChoice, BootstrapMode, Firmware, Protocol};
use schemars::JsonSchema;
use serde::Serialize;

/// A text without control characters.
const PLAIN: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

/// A text without control characters that is no text for cloud-init.
const PLAIN_PATH: &str = r"^[^#\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";

/// An absolute path without control characters.
const GUEST_PATH: &str = r"^/[^\x00-\x1f\x7f-\x9f]+$";

/// The virtual machines of a project.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "castra.toml", deny_unknown_fields)]
pub(super) struct Document {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1), extend("default" = 1))]
    pub(super) version: Option<u32>,
    /// The project as a whole.
    #[schemars(extend("default" = {}))]
    pub(super) project: Option<ProjectTable>,
    /// How long each step of a shutdown may take.
    #[schemars(extend("default" = {}))]
    pub(super) lifecycle: Option<LifecycleTable>,
    /// How guests are listened to.
    #[schemars(extend("default" = {}))]
    pub(super) channel: Option<ChannelTable>,
    /// The VMs; with their replicas at most 256.
    #[schemars(length(min = 1, max = 256))]
    pub(super) vms: Vec<VmTable>,
}

/// The project as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Project", deny_unknown_fields)]
pub(super) struct ProjectTable {
    /// Its name: part of the name of its workspace. Default: the name of the config's directory.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[^/\\\x00-\x1f\x7f-\x9f]*[^/\\\x00-\x1f\x7f-\x9f\s][^/\\\x00-\x1f\x7f-\x9f]*$")
    )]
    pub(super) name: Option<String>,
    /// Its workspace: a directory of its own, relative to the config or absolute; `~/` is the home
    /// directory. Default: `~/.castra/projects/<name>-<hash of the config's directory>`.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN))]
    pub(super) state_dir: Option<String>,
}

/// How long each step of `castra down` may take, in seconds; 0 skips the wait.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Lifecycle", deny_unknown_fields)]
pub(super) struct LifecycleTable {
    /// Time the guest gets to power off after its power button was pressed (ACPI).
    #[schemars(range(min = 0, max = 3600), extend("default" = 20))]
    pub(super) graceful_shutdown_wait_secs: Option<u64>,
    /// Time the VM's process gets after SIGTERM.
    #[schemars(range(min = 0, max = 3600), extend("default" = 10))]
    pub(super) sigterm_wait_secs: Option<u64>,
    /// Time the VM's process gets to vanish after SIGKILL.
    #[schemars(range(min = 0, max = 3600), extend("default" = 5))]
    pub(super) sigkill_wait_secs: Option<u64>,
}

/// How the broker's guest channel is judged.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Channel", deny_unknown_fields)]
pub(super) struct ChannelTable {
    /// How old a guest's last answer may be, in seconds, for it to count as reachable. A guest is asked
    /// every 2 s.
    #[schemars(range(min = 3, max = 300), extend("default" = 6))]
    pub(super) freshness_window_secs: Option<u64>,
}

/// One VM, or several that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Vm", deny_unknown_fields)]
pub(super) struct VmTable {
    /// Its name, unique in the project whatever the case: letters, digits, `-`, `_` and `.`,
    /// beginning with a letter or digit. Not `broker`, `host-broker` or `workspace`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub(super) name: String,
    /// Makes so many VMs, called `<name>-0`, `<name>-1`, … Replica n listens n ports above each
    /// `host`. Default: one VM, called `<name>`.
    #[schemars(range(min = 1, max = 256))]
    pub(super) count: Option<u32>,
    #[serde(flatten)]
    pub(super) keys: KeysTable,
    /// Keys of single replicas, in tables named after them (`[vms.replicas.<name>-0]`). A key there
    /// takes the place of the whole key here, and its host ports are taken as they are.
    #[schemars(extend("default" = {}))]
    pub(super) replicas: Option<BTreeMap<String, ReplicaTable>>,
}

/// What one replica has other than its fellows.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Replica", deny_unknown_fields)]
pub(super) struct ReplicaTable {
    #[serde(flatten)]
    pub(super) keys: KeysTable,
}

/// The keys that a VM and a replica share.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Keys")]
pub(super) struct KeysTable {
    /// What its disk begins as: an image of the catalogue (`castra image list`), or the path of a
    /// qcow2 or raw file. A text with `/`, or one that ends in `.qcow2`, `.img` or `.raw`, is a path.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN), extend("default" = "alpine"))]
    pub(super) base_image: Option<String>,
    /// The file the guest's changes go to. Relative to the config or absolute; what begins with
    /// `.castra/` is in the workspace. Default: `.castra/overlays/<name>.qcow2`.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN))]
    pub(super) overlay: Option<String>,
    /// Virtual processors.
    #[schemars(range(min = 1, max = 255), extend("default" = 1))]
    pub(super) cpus: Option<u32>,
    /// Guest memory, at least 64 MiB: a whole number and a unit. `2 GiB`, `2G` and `2048 MiB` are the
    /// same.
    #[schemars(
        regex(pattern = r"^\s*[0-9]+\s*([Bb]|[KkMmGgTt]([Ii][Bb]?|[Bb])?)\s*$"),
        extend("default" = "1 GiB")
    )]
    pub(super) memory: Option<String>,
    /// How guest code runs. `auto` takes the fastest accelerator that has run a guest on this host.
    #[schemars(extend("default" = "auto"))]
    pub(super) accelerator: Option<AcceleratorChoice>,
    /// What runs before the boot loader. Default: what boots the image, as the catalogue knows it;
    /// `bios` for other images.
    pub(super) firmware: Option<Firmware>,
    /// Keeps the overlay when the VM stops. Otherwise every start is a fresh machine. A guest of the
    /// image `tiny` or `tiny-full` lives in memory, and keeps nothing either way.
    #[schemars(extend("default" = false))]
    pub(super) persistent: Option<bool>,
    /// Ports of this host that lead into the VM.
    #[schemars(length(max = 64), extend("default" = []))]
    pub(super) port_forwards: Option<Vec<ForwardTable>>,
    /// Folders of this host that the guest sees.
    #[schemars(length(max = 8), extend("default" = []))]
    pub(super) mounts: Option<Vec<MountTable>>,
    /// What cloud-init finds on the VM's first boot.
    #[schemars(extend("default" = {}))]
    pub(super) cloud_init: Option<CloudInitTable>,
    /// How the VM is set up once its guest answers.
    pub(super) bootstrap: Option<BootstrapTable>,
}

/// One port of this host that leads into a VM.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "PortForward", deny_unknown_fields)]
pub(super) struct ForwardTable {
    /// The port on this host.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) host: u32,
    /// The port in the guest.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) guest: u32,
    /// TCP or UDP.
    #[schemars(extend("default" = "tcp"))]
    pub(super) protocol: Option<Protocol>,
    /// The IPv4 address of this host it listens on; `0.0.0.0` is every address.
    #[schemars(extend("default" = "127.0.0.1", "format" = "ipv4"))]
    pub(super) address: Option<String>,
}

/// A folder of this host that a guest sees: its agent mounts it once it answers, as a 9p file system.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Mount", deny_unknown_fields)]
pub(super) struct MountTable {
    /// The folder: relative to the config and not above it, or absolute; `~/` is the home directory. It
    /// neither holds Castra's own files nor lies in them. A link is followed once, when the VM starts.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN))]
    pub(super) host: String,
    /// Where the guest sees it: an absolute path, made where it is missing.
    #[schemars(length(min = 2, max = 4095), regex(pattern = GUEST_PATH))]
    pub(super) guest: String,
    /// Whether the guest may not write to it.
    #[schemars(extend("default" = true))]
    pub(super) read_only: Option<bool>,
}

/// What cloud-init finds on a VM's first boot.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "CloudInit", deny_unknown_fields)]
pub(super) struct CloudInitTable {
    /// The user-data, such as a `#cloud-config`.
    pub(super) user_data: Option<SourceValue>,
    /// The network-config. Default: DHCP on the first card.
    pub(super) network_config: Option<SourceValue>,
}

/// How a VM is set up once its guest answers: a script that runs in the guest as root.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Bootstrap", deny_unknown_fields)]
pub(super) struct BootstrapTable {
    /// When it runs: where the guest's disk does not say that the same was done there (`auto`), at
    /// every start (`always`), or only by `castra bootstrap` (`skip`).
    #[schemars(extend("default" = "auto"))]
    pub(super) mode: Option<BootstrapMode>,
    /// The script: a file, relative to the config or absolute. Without a first line that names an
    /// interpreter the guest's shell runs it.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN))]
    pub(super) script: String,
    /// What the script works with: a file or a directory, moved into the guest with it.
    #[schemars(length(min = 1, max = 4095), regex(pattern = PLAIN))]
    pub(super) payload: Option<String>,
    /// Time each step may take once the guest answers, in seconds.
    #[schemars(range(min = 1, max = 86400), extend("default" = 600))]
    pub(super) timeout_secs: Option<u64>,
    /// What tells in the guest whether the script did its work, by exit code 0: a line for its shell,
    /// or a program and its arguments. Default: the script's own exit code is enough.
    pub(super) verify: Option<VerifyValue>,
    /// Variables for the script and for `verify`; names that begin with `CASTRA_` are taken.
    #[schemars(
        extend("default" = {}),
        extend("maxProperties" = 64),
        extend("propertyNames" = { "pattern": "^(?!CASTRA_)[A-Za-z_][A-Za-z0-9_]{0,127}$" })
    )]
    pub(super) env: Option<BTreeMap<String, String>>,
}

/// A line for a shell, or a program and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Verify")]
#[serde(untagged)]
pub(super) enum VerifyValue {
    /// A line for the guest's shell.
    Line(#[schemars(length(max = 2048), regex(pattern = r"\S"))] String),
    /// A program and its arguments.
    Program(#[schemars(length(min = 1))] Vec<String>),
}

/// A text: the path of a file, or the text itself.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
#[serde(untagged)]
pub(super) enum SourceValue {
    /// The path of a file, relative to the config or absolute; read when the VM starts.
    Path(#[schemars(length(max = 4095), regex(pattern = PLAIN_PATH))] String),
    /// The text itself.
    Inline(InlineTable),
}

/// A text in the config itself.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Inline", deny_unknown_fields)]
pub(super) struct InlineTable {
    /// The text.
    pub(super) inline: String,
}
