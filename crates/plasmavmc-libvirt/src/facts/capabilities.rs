//! What libvirt says its hypervisor can do: `version`, `domcapabilities`, `capabilities`.
//!
//! Tests: below, on what libvirt printed; `tests/it/`.

use std::path::PathBuf;

use roxmltree::{Document, Node};
use serde::Serialize;

use crate::domain::TpmVersion;
use crate::virsh::{Reader, VirshError};
use crate::xml;

/// The machine that UEFI with secure boot needs, and a new VM gets.
const MACHINE: &str = "q35";

/// What a libvirt and its hypervisor can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HostFacts {
    /// Who they are.
    pub versions: Versions,
    /// The kinds of domains they run, `kvm` before `qemu`. Empty where this user may not ask.
    pub kinds: Vec<Kind>,
    /// The machine types of this host's architecture, versioned ones and their short names.
    pub machines: Vec<String>,
    /// Why the kinds are not known.
    pub kinds_unknown: Option<String>,
}

/// Versions, as `virsh version` tells them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Versions {
    /// The library's, such as `9.0.0`.
    pub libvirt: Option<String>,
    /// The hypervisor's, such as `QEMU 10.0.2`.
    pub hypervisor: Option<String>,
}

/// What a kind of domain offers on the machine `q35`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Kind {
    /// `type` of the domain: `kvm`, `qemu`.
    pub name: String,
    /// The program that runs it.
    pub emulator: Option<PathBuf>,
    /// The architecture.
    pub arch: Option<String>,
    /// What `q35` stands for now, such as `pc-q35-10.0`.
    pub machine: Option<String>,
    /// The most processors it can have.
    pub max_vcpus: Option<u32>,
    /// Whether the guest can see the host's processor as it is.
    pub host_passthrough: bool,
    /// Whether the guest can see what of the host's processor libvirt knows.
    pub host_model: bool,
    /// Whether the guest can have everything that can be offered.
    pub maximum: bool,
    /// Whether libvirt can choose UEFI by itself (`<os firmware='efi'>`).
    pub uefi: bool,
    /// Whether firmware can insist on signed boot loaders.
    pub secure_boot: bool,
    /// The models of a TPM, such as `tpm-crb`.
    pub tpm_models: Vec<String>,
    /// Whether a TPM can be emulated.
    pub tpm_emulator: bool,
    /// The versions an emulated TPM can have; libvirt before 8 does not tell.
    pub tpm_versions: Vec<TpmVersion>,
    /// Protocols of displays, such as `vnc`.
    pub graphics: Vec<String>,
    /// Buses of disks, such as `virtio`.
    pub disk_buses: Vec<String>,
}

impl HostFacts {
    /// The kind of that name.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// The command that shows what is known of a kind.
    pub fn shown_by(kind: &str) -> String {
        format!("virsh domcapabilities --virttype {kind} --machine {MACHINE}")
    }
}

/// Asks for everything.
pub(super) fn ask(reader: &Reader<'_>) -> Result<HostFacts, VirshError> {
    let mut facts = HostFacts::default();
    let (version, capabilities) = reader.version_and_capabilities()?;
    facts.versions = versions(&version);
    facts.machines = machines(&capabilities);
    match reader.domain_capabilities(&["kvm", "qemu"], MACHINE) {
        Ok(texts) => facts.kinds = texts.iter().filter_map(|text| kind(text)).collect(),
        Err(error @ (VirshError::Denied { .. } | VirshError::Refused { .. })) => {
            facts.kinds_unknown = Some(error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(facts)
}

/// What `virsh version` prints: `Using library: libvirt 9.0.0`.
fn versions(text: &str) -> Versions {
    let after = |label: &str| text.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    let libvirt = after("Using library:").map(|text| text.trim_start_matches("libvirt ").to_owned());
    Versions { libvirt, hypervisor: after("Running hypervisor:").map(str::to_owned) }
}

/// The machines of this host's architecture, each once, in libvirt's order.
fn machines(capabilities: &str) -> Vec<String> {
    let Ok(document) = Document::parse(capabilities) else { return Vec::new() };
    let root = document.root_element();
    let guests = root.children().filter(|node| node.has_tag_name("guest"));
    let arch = guests
        .filter_map(|guest| xml::child(guest, "arch"))
        .find(|arch| arch.attribute("name") == Some(std::env::consts::ARCH));
    let mut machines: Vec<String> = Vec::new();
    for machine in arch.into_iter().flat_map(|arch| arch.descendants()) {
        if machine.has_tag_name("machine") && !machines.contains(&xml::text(machine)) {
            machines.push(xml::text(machine));
        }
    }
    machines
}

/// One answer of `domcapabilities`; none where it is none.
fn kind(text: &str) -> Option<Kind> {
    let document = Document::parse(text).ok()?;
    let root = document.root_element();
    let at = |path: &[&str]| path.iter().try_fold(root, |node, name| xml::child(node, name));
    let value = |path: &[&str]| at(path).map(xml::text);
    let supported = |path: &[&str]| at(path).filter(|node| node.attribute("supported") != Some("no"));
    let listed = |path: &[&str], name: &str| supported(path).map_or_else(Vec::new, |it| values(it, name));
    let modes: Vec<_> = at(&["cpu"])?.children().filter(|node| node.has_tag_name("mode")).collect();
    let mode = |name: &str| {
        let mode = modes.iter().find(|mode| mode.attribute("name") == Some(name));
        mode.is_some_and(|mode| mode.attribute("supported") == Some("yes"))
    };
    let version = |text: &String| match text.as_str() {
        "1.2" => Some(TpmVersion::V1_2),
        "2.0" => Some(TpmVersion::V2_0),
        _ => None,
    };
    let tpm = ["devices", "tpm"];
    Some(Kind {
        name: value(&["domain"])?,
        emulator: value(&["path"]).map(PathBuf::from),
        arch: value(&["arch"]),
        machine: value(&["machine"]),
        max_vcpus: at(&["vcpu"]).and_then(|vcpu| vcpu.attribute("max")?.parse().ok()),
        host_passthrough: mode("host-passthrough"),
        host_model: mode("host-model"),
        maximum: mode("maximum"),
        uefi: listed(&["os"], "firmware").iter().any(|name| name == "efi"),
        secure_boot: listed(&["os", "loader"], "secure").iter().any(|name| name == "yes"),
        tpm_models: listed(&tpm, "model"),
        tpm_emulator: listed(&tpm, "backendModel").iter().any(|name| name == "emulator"),
        tpm_versions: listed(&tpm, "backendVersion").iter().filter_map(version).collect(),
        graphics: listed(&["devices", "graphics"], "type"),
        disk_buses: listed(&["devices", "disk"], "bus"),
    })
}

/// The values of the enumeration `name` in an element.
fn values(node: Node<'_, '_>, name: &str) -> Vec<String> {
    let list = node.children().find(|it| it.has_tag_name("enum") && it.attribute("name") == Some(name));
    let values = list.into_iter().flat_map(|list| list.children());
    values.filter(|value| value.has_tag_name("value")).map(xml::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libvirt 9.0 prints it, with what is not read left out.
    const TCG: &str = "<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path><domain>qemu</domain><machine>pc-q35-10.0</machine><arch>x86_64</arch>
  <vcpu max='4096'/>
  <os supported='yes'>
    <enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'>
      <value>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</value>
      <enum name='secure'><value>yes</value><value>no</value></enum>
    </loader>
  </os>
  <cpu>
    <mode name='host-passthrough' supported='no'/>
    <mode name='maximum' supported='yes'/>
    <mode name='host-model' supported='yes'/>
  </cpu>
  <devices>
    <disk supported='yes'><enum name='bus'><value>virtio</value><value>sata</value></enum></disk>
    <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
    <tpm supported='yes'>
      <enum name='model'><value>tpm-tis</value><value>tpm-crb</value></enum>
      <enum name='backendModel'><value>emulator</value></enum>
      <enum name='backendVersion'><value>1.2</value><value>2.0</value></enum>
    </tpm>
  </devices>
</domainCapabilities>";

    #[test]
    fn a_kind_is_read_as_libvirt_tells_it() {
        let expected = Kind {
            name: "qemu".to_owned(),
            emulator: Some("/usr/bin/qemu-system-x86_64".into()),
            arch: Some("x86_64".to_owned()),
            machine: Some("pc-q35-10.0".to_owned()),
            max_vcpus: Some(4096),
            host_passthrough: false,
            host_model: true,
            maximum: true,
            uefi: true,
            secure_boot: true,
            tpm_models: vec!["tpm-tis".to_owned(), "tpm-crb".to_owned()],
            tpm_emulator: true,
            tpm_versions: vec![TpmVersion::V1_2, TpmVersion::V2_0],
            graphics: vec!["vnc".to_owned()],
            disk_buses: vec!["virtio".to_owned(), "sata".to_owned()],
        };
        assert_eq!(kind(TCG), Some(expected));
    }

    #[test]
    fn what_is_not_supported_offers_nothing() {
        let without = TCG.replace("<tpm supported='yes'>", "<tpm supported='no'>");
        let kind = kind(&without).unwrap();
        assert!(kind.tpm_models.is_empty() && !kind.tpm_emulator && kind.tpm_versions.is_empty());
    }

    #[test]
    fn what_is_no_answer_is_no_kind() {
        assert_eq!(kind(""), None);
        assert_eq!(kind("<domainCapabilities/>"), None);
        assert_eq!(machines("error"), Vec::<String>::new());
    }

    #[test]
    fn versions_and_machines_are_found() {
        let text = "Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\nUsing API: QEMU 9.0.0\n\
                    Running hypervisor: QEMU 10.0.2\n";
        let found = versions(text);
        assert_eq!(found.libvirt.as_deref(), Some("9.0.0"));
        assert_eq!(found.hypervisor.as_deref(), Some("QEMU 10.0.2"));
        let arch = std::env::consts::ARCH;
        let xml = format!(
            "<capabilities><guest><arch name='other'><machine>x</machine></arch></guest><guest><arch name='{arch}'>\
             <machine canonical='pc-q35-10.0'>q35</machine><domain type='kvm'><machine>q35</machine></domain></arch>\
             </guest></capabilities>"
        );
        assert_eq!(machines(&xml), ["q35"]);
    }
}
