//! The shape of a manifest, for its JSON Schema and its reference.
//!
//! The texts are the reference's. Reading is [`super::read`]'s; that both know the same keys is tested.

#![expect(dead_code, reason = "only the shape of these types is asked for")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::read::FIELD_WORDS;
use super::words::{BootChoice, DiskBus, GraphicsChoice, TpmChoice};

/// A name as libvirt takes it: no `/`, no control characters, no blank at either end.
const NAME: &str = r"^(?! )[^/\x00-\x1F\x7F]+(?<! )$";

/// A path in full: without `..`, not ending in a slash.
const DISK: &str = r"^/(?!.*(^|/)\.\.(/|$))[^\x00-\x1F]*[^/\x00-\x1F]$";

/// A path in full or below the home directory.
const ISO: &str = r"^~?/(?!.*(^|/)\.\.(/|$))[^\x00-\x1F]*[^/\x00-\x1F]$";

/// Keys that are comments.
pub(super) const COMMENT_KEYS: &str = r"^(\$comment$|_comment$|//|x-)";

/// The vms.json manifest.
#[derive(JsonSchema)]
#[schemars(rename = "VmManifest")]
pub(super) struct Document {
    /// The JSON Schema an editor is to use.
    #[schemars(rename = "$schema", extend("type" = ["string", "null"]))]
    schema: Option<String>,
    /// The libvirt connection this manifest is for. `--connect` and `LIBVIRT_DEFAULT_URI` come before it;
    /// without any of them libvirt chooses, by the user who asks.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9+.-]*://[!-~]*$"), extend("examples" = ["qemu:///system"]))]
    uri: Option<String>,
    /// The VMs by name. The name is the libvirt domain's.
    #[schemars(extend("propertyNames" = { "pattern": NAME, "maxLength": 247 }))]
    vms: BTreeMap<String, Vm>,
}

/// A single VM definition.
#[derive(JsonSchema)]
#[schemars(rename = "VmDefinition")]
pub(super) struct Vm {
    /// What lists of VMs show beside the name; `null` for none. Not said: left as it is.
    #[schemars(length(min = 1, max = 1024), extend("type" = ["string", "null"]))]
    title: Option<String>,
    /// Memory in GiB (1024 MiB).
    #[schemars(range(min = 1, max = 4_194_304))]
    memory_gb: u64,
    /// Memory in MiB, for what is not whole GiB; stands in the place of `memory_gb`.
    #[schemars(range(min = 1, max = 4_294_967_296_u64))]
    memory_mb: Option<u64>,
    /// Virtual processors.
    #[schemars(range(min = 1, max = 4096))]
    vcpus: u32,
    /// The processor the guest sees: `host-passthrough`, `host-model`, `maximum`, or a model that
    /// `virsh cpu-models` lists. Not said: left as it is; a new VM is given the best the host can.
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"))]
    cpu_model: Option<String>,
    /// The first disk's file, an absolute path. No two VMs share one.
    #[schemars(length(max = 4095), regex(pattern = DISK))]
    disk_path: String,
    /// The size of that disk in GiB. A larger file is never shrunk; a smaller one grows with `--grow-disks`.
    #[schemars(range(min = 1, max = 1_048_576))]
    disk_size_gb: u64,
    /// What the disk is attached to. Not said: left as it is; a new VM has `virtio`.
    disk_bus: Option<DiskBus>,
    /// Provision disk_path if missing: an empty qcow2 file of `disk_size_gb`.
    #[schemars(extend("default" = false))]
    create_if_missing: Option<bool>,
    /// What runs before the boot loader.
    boot: BootChoice,
    /// Whether UEFI insists on signed boot loaders. Not said: left as it is; a new VM has it only with a
    /// TPM, as Windows 11 wants it.
    secure_boot: Option<bool>,
    /// The emulated TPM.
    #[schemars(extend("default" = "none"))]
    tpm: Option<TpmChoice>,
    /// What the first card is connected to: the name of a libvirt network, `bridge:NAME` for a bridge of
    /// the host, `user` for NAT without privileges, `none` for no card.
    #[schemars(
        length(min = 1, max = 247),
        regex(pattern = r"^(bridge:[^\s/:]{1,15}|(?! )[^/:\x00-\x1F\x7F]+(?<! ))$")
    )]
    network: String,
    /// The first card's address. Not said: left as it is; libvirt draws one for a new VM.
    #[schemars(regex(pattern = r"^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"))]
    mac: Option<String>,
    /// The display.
    graphics: GraphicsChoice,
    /// What is in the CD-ROM drives, in order. Not said: the drives are left as they are. Media and drives
    /// that were not put there by `bkt` stay.
    #[schemars(length(max = 5))]
    iso_sources: Option<Vec<Iso>>,
    /// Whether the VM starts with the host. Not said: left as it is.
    autostart: Option<bool>,
    /// Fields of an existing VM that are left as they are, whatever else stands here. A new VM is still
    /// made with what stands here.
    unmanaged_fields: Option<Vec<FieldWord>>,
}

/// The name of a field.
pub(super) struct FieldWord;

impl JsonSchema for FieldWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = FIELD_WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// An installer ISO source.
#[derive(JsonSchema)]
#[schemars(rename = "IsoSource", untagged)]
pub(super) enum Iso {
    /// A file of the host.
    Path(IsoPath),
    /// Something on the web.
    Url(IsoUrl),
}

/// A file of the host.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub(super) struct IsoPath {
    /// The file: absolute, or below the home directory with `~/`. One that is gone does not keep a VM from
    /// being managed.
    #[schemars(length(max = 4095), regex(pattern = ISO))]
    path: String,
}

/// Something on the web.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub(super) struct IsoUrl {
    /// An HTTP or HTTPS URL. It is fetched by `bkt vm fetch` and nothing else, and attached once it is there.
    #[schemars(length(max = 2048), extend("format" = "uri"), regex(pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@:\s][^@\s]*$"))]
    url: String,
    /// What the fetched file must be: `sha256:` or `sha512:`, and the digits that its publisher gives. Without
    /// it the first fetch is believed, and later ones are held against it.
    #[schemars(regex(pattern = r"^(sha256:[0-9A-Fa-f]{64}|sha512:[0-9A-Fa-f]{128})$"))]
    checksum: Option<String>,
}
