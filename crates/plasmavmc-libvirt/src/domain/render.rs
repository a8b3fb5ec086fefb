//! The XML of a new VM.
//!
//! Only a VM that does not exist is rendered; one that does is edited. What libvirt or QEMU would choose
//! differently on another host or after an upgrade is written out: the firmware's features, the version of
//! the TPM, the format of every disk. What must be chosen on the host (the versioned machine type, the
//! firmware's files, addresses) is left to libvirt, which stores its choice.
//!
//! A PC with UEFI and TPM 2.0 is taken for one that Windows 11 is to be installed on. Its setup and the
//! installed system want the clock in local time, as Windows keeps it, the paravirtual clock and
//! interrupts of Hyper-V under KVM, and no HPET. A guest of another kind runs with them too.
//!
//! Never does: look at the host. Tests: below; `tests/corpus` validates against libvirt's schema.

use std::path::{Path, PathBuf};

use plasmavmc_types::{DiskFormat, ErrorKind, Explain, MacAddr, VmId};

use super::{Boot, CpuModel, DomainXml, GraphicsKind, Mark, Network, TpmVersion};
use crate::xml::{Element, XmlError, is_writable};

pub(super) mod devices;

/// A VM to render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVm {
    /// The domain's name.
    pub name: String,
    /// Its UUID, for good.
    pub id: VmId,
    /// `kvm` or `qemu`.
    pub kind: String,
    /// QEMU, where libvirt is not to choose.
    pub emulator: Option<PathBuf>,
    /// The architecture, such as `x86_64`.
    pub arch: String,
    /// The machine type; none takes `q35` for a PC, `virt` else.
    pub machine: Option<String>,
    /// The processor.
    pub cpu: CpuModel,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// The firmware's kind.
    pub boot: Boot,
    /// Whether UEFI insists on signed boot loaders.
    pub secure_boot: bool,
    /// The TPM to emulate.
    pub tpm: Option<TpmVersion>,
    /// The disks; the first is booted from first.
    pub disks: Vec<NewDisk>,
    /// The media of the CD-ROM drives, booted from in order behind the disk.
    pub cdroms: Vec<PathBuf>,
    /// What the network card is connected to; without, there is no card.
    pub network: Option<Network>,
    /// The card's address; libvirt draws one where there is none.
    pub mac: Option<MacAddr>,
    /// The display.
    pub graphics: Option<GraphicsKind>,
    /// The title people see.
    pub title: Option<String>,
    /// What we note in it.
    pub mark: Option<Mark>,
}

/// A disk of a new VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDisk {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The bus: `virtio`, `sata`, `scsi` or `usb`.
    pub bus: String,
}

/// Why a VM cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// libvirt or XML has no way to say a value.
    #[error("the {what} `{}` cannot be written: {why}", text.escape_debug())]
    Unwritable {
        /// What it is.
        what: &'static str,
        /// The value.
        text: String,
        /// Why.
        why: &'static str,
    },
    /// There are more disks or drives than names for them.
    #[error("there is no bus `{bus}` that a disk could be on, or it is full")]
    Bus {
        /// The bus.
        bus: String,
    },
    /// What came out cannot be read: a fault of ours.
    #[error("the new VM did not give a domain's XML")]
    Xml(#[from] XmlError),
}

impl Explain for RenderError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unwritable { .. } | Self::Bus { .. } => ErrorKind::Config,
            Self::Xml(_) => ErrorKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Bus { .. } => {
                vec!["write `\"disk_bus\": \"virtio\"`, `\"sata\"`, `\"scsi\"` or `\"usb\"`".to_owned()]
            }
            Self::Unwritable { .. } | Self::Xml(_) => Vec::new(),
        }
    }
}

impl NewVm {
    /// Whether it is a PC.
    fn is_pc(&self) -> bool {
        matches!(self.arch.as_str(), "x86_64" | "i686")
    }

    /// Whether Windows 11 is to be installed on it, as far as can be told.
    fn is_for_windows(&self) -> bool {
        self.is_pc() && self.boot == Boot::Uefi && self.tpm == Some(TpmVersion::V2_0)
    }

    fn is_kvm(&self) -> bool {
        self.kind == "kvm"
    }
}

/// The XML of a new VM.
///
/// # Errors
/// Names what libvirt or XML has no way to say.
pub fn render(vm: &NewVm) -> Result<DomainXml, RenderError> {
    line("name", &vm.name)?;
    if vm.name.contains('/') {
        return Err(unwritable("name", &vm.name, "libvirt makes a file name of it, so it cannot have a `/`"));
    }
    let mut domain = Element::new("domain")
        .attr("type", &vm.kind)
        .child(Element::new("name").text(&vm.name))
        .child(Element::new("uuid").text(vm.id));
    if let Some(title) = &vm.title {
        line("title", title)?;
        domain = domain.child(Element::new("title").text(title));
    }
    if let Some(mark) = &vm.mark {
        line("key", &mark.key)?;
        line("note", &mark.applied)?;
        domain = domain.child(Element::new("metadata").child(mark.to_element()));
    }
    domain = domain
        .child(Element::new("memory").attr("unit", "KiB").text(vm.memory_kib))
        .child(Element::new("vcpu").text(vm.vcpus))
        .child(os(vm))
        .child(features(vm))
        .child(cpu(vm))
        .child(clock(vm));
    for (event, action) in [("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")] {
        domain = domain.child(Element::new(event).text(action));
    }
    if vm.is_pc() {
        // A guest that sleeps does not wake up on its own, and Windows does so when nobody looks.
        let off = |name| Element::new(name).attr("enabled", "no");
        domain = domain.child(Element::new("pm").child(off("suspend-to-mem")).child(off("suspend-to-disk")));
    }
    domain = domain.child(devices::devices(vm)?);
    Ok(DomainXml::parse(domain.to_xml(Some("")) + "\n")?)
}

fn os(vm: &NewVm) -> Element {
    let machine = vm.machine.as_deref().unwrap_or(if vm.is_pc() { "q35" } else { "virt" });
    let kind = Element::new("type").attr("arch", &vm.arch).attr("machine", machine).text("hvm");
    match vm.boot {
        Boot::Bios => Element::new("os").child(kind),
        Boot::Uefi => {
            // What it must and must not do: which one libvirt takes otherwise depends on the host.
            let features = vm.is_pc().then(|| firmware_features(vm.secure_boot));
            Element::new("os").attr("firmware", "efi").child(kind).children(features)
        }
    }
}

/// `<firmware>` with both features of secure boot on, or both off.
pub(super) fn firmware_features(secure_boot: bool) -> Element {
    let enabled = if secure_boot { "yes" } else { "no" };
    let feature = |name| Element::new("feature").attr("enabled", enabled).attr("name", name);
    Element::new("firmware").child(feature("enrolled-keys")).child(feature("secure-boot"))
}

fn features(vm: &NewVm) -> Element {
    let mut features = Element::new("features").child(Element::new("acpi"));
    if !vm.is_pc() {
        return features;
    }
    features = features.child(Element::new("apic"));
    if vm.is_for_windows() && vm.is_kvm() {
        let on = |name| Element::new(name).attr("state", "on");
        let flags = ["relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "frequencies"];
        features = features.child(
            Element::new("hyperv")
                .attr("mode", "custom")
                .children(flags.map(on))
                .child(on("spinlocks").attr("retries", 8191)),
        );
    }
    features = features.child(Element::new("vmport").attr("state", "off"));
    if vm.boot == Boot::Uefi && vm.secure_boot {
        // The variables can be written from system management mode alone.
        features = features.child(Element::new("smm").attr("state", "on"));
    }
    features
}

/// One socket: Windows for desktops uses no more than one or two.
fn cpu(vm: &NewVm) -> Element {
    let topology = Element::new("topology")
        .attr("sockets", 1)
        .attr("dies", 1)
        .attr("cores", vm.vcpus)
        .attr("threads", 1);
    cpu_model(&vm.cpu).child(topology)
}

/// `<cpu>` with a model and nothing else.
pub(super) fn cpu_model(model: &CpuModel) -> Element {
    let cpu = Element::new("cpu");
    match model {
        CpuModel::Unspecified => cpu,
        CpuModel::HostPassthrough => {
            cpu.attr("mode", "host-passthrough").attr("check", "none").attr("migratable", "on")
        }
        CpuModel::HostModel => cpu.attr("mode", "host-model").attr("check", "partial"),
        CpuModel::Maximum => cpu.attr("mode", "maximum").attr("check", "none").attr("migratable", "on"),
        CpuModel::Named(name) => cpu
            .attr("mode", "custom")
            .attr("match", "exact")
            .attr("check", "partial")
            .child(Element::new("model").attr("fallback", "allow").text(name)),
    }
}

fn clock(vm: &NewVm) -> Element {
    let offset = if vm.is_for_windows() { "localtime" } else { "utc" };
    let clock = Element::new("clock").attr("offset", offset);
    if !vm.is_pc() {
        return clock;
    }
    let timer = |name| Element::new("timer").attr("name", name);
    let mut timers = vec![
        timer("rtc").attr("tickpolicy", "catchup"),
        timer("pit").attr("tickpolicy", "delay"),
        timer("hpet").attr("present", "no"),
    ];
    if vm.is_for_windows() && vm.is_kvm() {
        timers.push(timer("hypervclock").attr("present", "yes"));
    }
    clock.children(timers)
}

/// A text of one line that XML can hold.
fn line(what: &'static str, text: &str) -> Result<(), RenderError> {
    if text.is_empty() {
        Err(unwritable(what, text, "it is empty"))
    } else if !is_writable(text) || text.contains(['\n', '\r']) {
        Err(unwritable(what, text, "it has a character that is not text"))
    } else {
        Ok(())
    }
}

/// An absolute path as text.
fn path<'p>(what: &'static str, path: &'p Path) -> Result<&'p str, RenderError> {
    let Some(text) = path.to_str() else {
        return Err(unwritable(what, &path.display().to_string(), "it is not UTF-8"));
    };
    line(what, text)?;
    if !path.is_absolute() {
        return Err(unwritable(what, text, "it is not an absolute path"));
    }
    Ok(text)
}

fn unwritable(what: &'static str, text: &str, why: &'static str) -> RenderError {
    RenderError::Unwritable { what, text: text.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> NewVm {
        NewVm {
            name: "win11".to_owned(),
            id: "0a1b2c3d-0000-4000-8000-000000000001".parse().unwrap(),
            kind: "kvm".to_owned(),
            emulator: None,
            arch: "x86_64".to_owned(),
            machine: Some("pc-q35-8.2".to_owned()),
            cpu: CpuModel::HostPassthrough,
            memory_kib: 8 << 20,
            vcpus: 4,
            boot: Boot::Uefi,
            secure_boot: true,
            tpm: Some(TpmVersion::V2_0),
            disks: vec![NewDisk {
                path: "/var/lib/libvirt/images/win11.qcow2".into(),
                format: DiskFormat::Qcow2,
                bus: "virtio".to_owned(),
            }],
            cdroms: vec!["/isos/Win11.iso".into(), "/isos/virtio-win.iso".into()],
            network: Some(Network::Named("default".to_owned())),
            mac: Some("52:54:00:aa:bb:cc".parse().unwrap()),
            graphics: Some(GraphicsKind::Spice),
            title: Some("Windows 11".to_owned()),
            mark: Some(Mark { key: "win11".to_owned(), applied: "{\"memory\":8192}".to_owned() }),
        }
    }

    #[test]
    fn a_vm_for_windows_11() {
        insta::assert_snapshot!(render(&windows()).unwrap().as_str());
    }

    #[test]
    fn a_server_without_a_display() {
        let vm = NewVm {
            boot: Boot::Bios,
            secure_boot: false,
            tpm: None,
            kind: "qemu".to_owned(),
            cpu: CpuModel::Unspecified,
            cdroms: Vec::new(),
            network: Some(Network::Bridge("br0".to_owned())),
            graphics: None,
            mark: None,
            title: None,
            ..windows()
        };
        insta::assert_snapshot!(render(&vm).unwrap().as_str());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let error = |change: fn(&mut NewVm)| {
            let mut vm = windows();
            change(&mut vm);
            render(&vm).unwrap_err().to_string()
        };
        assert_eq!(
            error(|vm| vm.name = "a/b".to_owned()),
            "the name `a/b` cannot be written: libvirt makes a file name of it, so it cannot have a `/`"
        );
        assert!(error(|vm| vm.title = Some("a\nb".to_owned())).starts_with("the title `a\\nb` cannot"));
        assert!(error(|vm| vm.cdroms.push("a.iso".into())).ends_with("it is not an absolute path"));
        assert!(error(|vm| vm.network = Some(Network::Other("direct".to_owned()))).contains("no word"));
        assert!(error(|vm| vm.graphics = Some(GraphicsKind::Other("rdp".to_owned()))).contains("no word"));
        assert_eq!(
            error(|vm| vm.disks[0].bus = "fdc".to_owned()),
            "there is no bus `fdc` that a disk could be on, or it is full"
        );
        assert!(error(|vm| vm.disks = vec![vm.disks[0].clone(); 27]).contains("virtio"));
    }
}
