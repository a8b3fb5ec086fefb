//! Whether the host can run what a plan makes, from facts, each with the command that shows it.
//!
//! Only VMs that are made, adopted or changed are looked at: one that runs has proved what it needs. A
//! blocker keeps the VM from starting for certain; a warning may. Never does: stop anything by itself.
//! The judgement is pure; [`Facts::gather`] reads the host. Tests: below.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use plasmavmc_host::disk;
use plasmavmc_libvirt::facts::access::{QemuUser, Reach};
use plasmavmc_libvirt::facts::firmware::{self, Firmware};
use plasmavmc_libvirt::facts::{self, Fact, HostFacts, Kind};
use plasmavmc_libvirt::virsh::{Connection, NetworkState, VirshError};
use plasmavmc_types::ByteSize;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::edits::paths;
use super::plan::{Action, DiskStep, Entry, VmPlan, is_here};
use super::{Field, Values};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It will not start.
    Blocker,
    /// It may not start, or not run well.
    Warning,
}

/// One thing that is wrong with the host for a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The VM.
    pub vm: String,
    /// How bad it is.
    pub severity: Severity,
    /// The field that asks for it.
    pub field: Field,
    /// What is wrong.
    pub what: String,
    /// The command that shows it.
    pub shown_by: String,
    /// What a person can do, with something to type.
    pub next: String,
}

/// What is known of the host.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What libvirt says of its hypervisor.
    pub host: HostFacts,
    /// The firmware for UEFI.
    pub firmware: Vec<Firmware>,
    /// Whether an emulator of TPMs is installed.
    pub swtpm: Option<Fact<bool>>,
    /// The networks of libvirt.
    pub networks: Vec<NetworkState>,
    /// Bridges by name.
    pub bridges: BTreeMap<String, Fact<bool>>,
    /// How far QEMU's user gets, for each file.
    pub reach: BTreeMap<PathBuf, Fact<Reach>>,
    /// The room that is left for each disk that is made or grows.
    pub room: BTreeMap<PathBuf, ByteSize>,
}

impl Facts {
    /// Reads the host, as far as the plan asks about it.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn gather(connection: &Connection, plan: &VmPlan) -> Result<Self, VirshError> {
        let reader = connection.reader();
        let mut found = Self {
            host: reader.host()?,
            firmware: firmware::installed(),
            swtpm: Some(facts::swtpm()),
            networks: reader.networks()?,
            ..Self::default()
        };
        if is_here(&plan.uri) {
            let paths = plan.vms.iter().filter_map(|entry| growth(entry).map(|(path, _)| path));
            // Where it cannot be told, making the disk tells.
            found.room = paths.filter_map(|path| Some((path.to_owned(), disk::free(path).ok()?))).collect();
        }
        let user = QemuUser::of(&plan.uri);
        for values in plan.vms.iter().filter_map(asked) {
            if let Some(name) = text(&values, Field::Network).and_then(|word| word.strip_prefix("bridge:")) {
                found.bridges.insert(name.to_owned(), facts::bridge(name));
            }
            if let Some(user) = &user {
                let disk = text(&values, Field::DiskPath).map(PathBuf::from);
                let media = values.get(&Field::IsoSources).map(paths).unwrap_or_default();
                for path in disk.into_iter().chain(media) {
                    let reach = user.reach(&path);
                    found.reach.insert(path, reach);
                }
            }
        }
        Ok(found)
    }
}

/// What a plan asks of the host for a VM: the values it is made with, or changed to.
fn asked(entry: &Entry) -> Option<Values> {
    match &entry.action {
        Action::Create { blueprint } => Some(blueprint.values.clone()),
        Action::Adopt | Action::Update => {
            Some(entry.made().map(|change| (change.field, change.to.clone())).collect())
        }
        Action::Keep | Action::Prune | Action::Release | Action::Refuse { .. } => None,
    }
}

/// The file of a disk that is made or grows, and how much larger it may become than it is.
fn growth(entry: &Entry) -> Option<(&Path, ByteSize)> {
    match entry.disk.as_ref()? {
        DiskStep::Create { path, size_gb } => Some((path, ByteSize::gib(*size_gb))),
        DiskStep::Grow { path, from_bytes, size_gb } => {
            Some((path, ByteSize::bytes(ByteSize::gib(*size_gb).as_bytes().saturating_sub(*from_bytes))))
        }
        _ => None,
    }
}

fn text(values: &Values, field: Field) -> Option<&str> {
    values.get(&field).and_then(Value::as_str)
}

/// What is wrong with the host for a plan, in the order of its VMs.
pub fn preflight(plan: &VmPlan, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in &plan.vms {
        let Some(values) = asked(entry) else { continue };
        let kind = match &entry.action {
            Action::Create { blueprint } => facts.host.kind(&blueprint.kind),
            _ => facts.host.kinds.first(),
        };
        let mut check = Check { vm: &entry.name, values: &values, facts, findings: &mut findings };
        if let Some(kind) = kind {
            check.hypervisor(kind);
        }
        check.firmware(kind);
        check.network();
        check.files();
        check.room(entry);
    }
    findings
}

/// The findings that say the same of several VMs once, each with its VMs, in the order of the first.
pub fn by_cause(findings: &[Finding]) -> Vec<(Vec<&str>, &Finding)> {
    let mut causes: Vec<(Vec<&str>, &Finding)> = Vec::new();
    for finding in findings {
        let said = |other: &Finding| (&other.what, &other.next) == (&finding.what, &finding.next);
        match causes.iter_mut().find(|(_, first)| said(first)) {
            Some((vms, _)) => vms.push(&finding.vm),
            None => causes.push((vec![&finding.vm], finding)),
        }
    }
    causes
}

/// The check of one VM.
struct Check<'a> {
    vm: &'a str,
    values: &'a Values,
    facts: &'a Facts,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn find(
        &mut self,
        severity: Severity,
        field: Field,
        what: impl Into<String>,
        shown_by: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.findings.push(Finding {
            vm: self.vm.to_owned(),
            severity,
            field,
            what: what.into(),
            shown_by: shown_by.into(),
            next: next.into(),
        });
    }

    fn hypervisor(&mut self, kind: &Kind) {
        use Severity::{Blocker, Warning};
        let shown = HostFacts::shown_by(&kind.name);
        if kind.name == "qemu" && self.values.contains_key(&Field::CpuModel) {
            let next = "see whether the processor's extensions are on in its BIOS, or in the host's where this one is virtual";
            self.find(
                Warning,
                Field::CpuModel,
                "guests run on no KVM here: they are emulated, and slow",
                &shown,
                next,
            );
        }
        let vcpus = self.values.get(&Field::Vcpus).and_then(Value::as_u64);
        if let (Some(wanted), Some(most)) = (vcpus, kind.max_vcpus.map(u64::from))
            && wanted > most
        {
            let what = format!("{wanted} processors are more than the {most} a VM can have here");
            self.find(Blocker, Field::Vcpus, what, &shown, format!("write `\"vcpus\": {most}` or less"));
        }
        if let Some(word) = text(self.values, Field::Graphics)
            && word != "none"
            && !kind.graphics.is_empty()
            && !kind.graphics.iter().any(|one| one == word)
        {
            let offered = kind.graphics.join(", ");
            let what = format!("this QEMU has no `{word}` display, but {offered}");
            let next = "install what is missing: `sudo apt-get install qemu-system-modules-spice`, or choose another";
            self.find(Blocker, Field::Graphics, what, &shown, next);
        }
    }

    fn firmware(&mut self, kind: Option<&Kind>) {
        let secure = self.values.get(&Field::SecureBoot) == Some(&Value::Bool(true));
        let arch = kind.and_then(|kind| kind.arch.clone()).unwrap_or_else(|| "x86_64".to_owned());
        let mut usable = self.facts.firmware.iter().filter(|one| one.installed && one.runs_on(&arch));
        let shown = "ls /usr/share/qemu/firmware /etc/qemu/firmware";
        if secure && !usable.clone().any(|one| one.enrolled_keys) {
            let what = "there is no firmware that insists on signed boot loaders (`enrolled-keys`)";
            let next = "install it: `sudo apt-get install ovmf`, or write `\"secure_boot\": false`";
            self.find(Severity::Blocker, Field::SecureBoot, what, shown, next);
        } else if text(self.values, Field::Boot) == Some("uefi") && usable.next().is_none() {
            let next = "install it: `sudo apt-get install ovmf`";
            self.find(Severity::Blocker, Field::Boot, "there is no firmware for UEFI", shown, next);
        }
        let no_swtpm = self.facts.swtpm.clone().filter(|fact| !fact.value);
        if let (Some("2.0"), Some(fact)) = (text(self.values, Field::Tpm), no_swtpm) {
            let next = "install it: `sudo apt-get install swtpm swtpm-tools`";
            let what = "there is no emulator of TPMs";
            self.find(Severity::Blocker, Field::Tpm, what, fact.shown_by, next);
        }
    }

    fn network(&mut self) {
        let Some(word) = text(self.values, Field::Network).map(str::to_owned) else { return };
        if word == "user" || word == "none" {
            return;
        }
        if let Some(bridge) = word.strip_prefix("bridge:") {
            let missing = self.facts.bridges.get(bridge).cloned().filter(|fact| !fact.value);
            if let Some(fact) = missing {
                let what = format!("the host has no bridge `{bridge}`");
                let next = format!("make it, such as with `sudo ip link add {bridge} type bridge`");
                self.find(Severity::Blocker, Field::Network, what, fact.shown_by, next);
            }
            return;
        }
        let network = self.facts.networks.iter().find(|network| network.name == word);
        let shown = "virsh net-list --all";
        match network {
            None => {
                let what = format!("libvirt has no network `{word}`");
                let next =
                    "name another, define it with `virsh net-define`, or write `\"network\": \"user\"`";
                self.find(Severity::Blocker, Field::Network, what, shown, next);
            }
            Some(network) if !network.active => {
                let what = format!("the network `{word}` is not up");
                let next = format!("start it: `virsh net-start {word}`, and `virsh net-autostart {word}`");
                self.find(Severity::Blocker, Field::Network, what, shown, next);
            }
            Some(_) => {}
        }
    }

    fn files(&mut self) {
        let disk = text(self.values, Field::DiskPath).map(|path| (Field::DiskPath, PathBuf::from(path)));
        let media = self.values.get(&Field::IsoSources).map(paths).unwrap_or_default();
        let media = media.into_iter().map(|path| (Field::IsoSources, path));
        for (field, path) in disk.into_iter().chain(media) {
            let Some(Fact { value, shown_by }) = self.facts.reach.get(&path).cloned() else { continue };
            let shown = path.display();
            match value {
                Reach::Closed { at } => {
                    let at = at.display();
                    let what = format!("QEMU's user cannot enter `{at}`, on the way to `{shown}`");
                    let next = format!("let it pass: `chmod o+x {at}`, or put the file elsewhere");
                    self.find(Severity::Blocker, field, what, shown_by, next);
                }
                Reach::Unreadable => {
                    let what = format!("QEMU's user cannot read `{shown}`");
                    let next = format!("let it: `chmod o+r {shown}`");
                    self.find(Severity::Blocker, field, what, shown_by, next);
                }
                Reach::NotAFile => {
                    let what = format!("`{shown}` is no file");
                    self.find(Severity::Blocker, field, what, shown_by, "name a disk image or an ISO");
                }
                // A disk that is yet to be made is missing; what this user cannot see may be fine.
                Reach::Readable | Reach::Given | Reach::Missing | Reach::Unknown { .. } => {}
            }
        }
    }
}

impl Check<'_> {
    /// A disk takes what its guest writes, so one that outgrows its file system stops its VM some day.
    fn room(&mut self, entry: &Entry) {
        let Some((path, wanted)) = growth(entry) else { return };
        let Some(room) = self.facts.room.get(path).filter(|room| **room < wanted) else { return };
        let folder = path.parent().unwrap_or(path).display();
        let what = format!("its disk may grow by {wanted}, and `{folder}` has room for {room}");
        let next = "free some space, or put the disk elsewhere: a full file system pauses the VM";
        self.find(Severity::Warning, Field::DiskSizeGb, what, format!("df -h {folder}"), next);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (`{}` shows it)", self.what, self.shown_by)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Host, Observation, Options, plan};
    use super::super::sample::definition;
    use super::*;
    use crate::manifest::VmManifest;

    /// A plan that makes a VM for Windows 11.
    fn making() -> VmPlan {
        let mut manifest = VmManifest::default();
        manifest.vms.insert("win11".parse().unwrap(), definition());
        let host = Host { enrolled_keys: true, kind: "qemu".to_owned(), ..Host::unknown() };
        let observation = Observation { host: Some(host), ..Observation::default() };
        plan(&manifest, &observation, &Options::default())
    }

    /// A host that has everything.
    fn able() -> Facts {
        let kind = Kind {
            name: "qemu".to_owned(),
            arch: Some("x86_64".to_owned()),
            max_vcpus: Some(255),
            graphics: vec!["vnc".to_owned(), "spice".to_owned()],
            ..Kind::default()
        };
        let network =
            NetworkState { name: "default".to_owned(), active: true, autostart: true, bridge: None };
        Facts {
            host: HostFacts { kinds: vec![kind], ..HostFacts::default() },
            firmware: firmware::installed(),
            swtpm: Some(Fact { value: true, shown_by: String::new() }),
            networks: vec![network],
            ..Facts::default()
        }
    }

    fn fields(facts: &Facts, severity: Severity) -> Vec<Field> {
        let findings = preflight(&making(), facts);
        findings.into_iter().filter(|one| one.severity == severity).map(|one| one.field).collect()
    }

    #[test]
    fn what_the_host_lacks_is_told_all_at_once_with_the_command_that_shows_it() {
        let facts = Facts {
            firmware: Vec::new(),
            swtpm: Some(Fact { value: false, shown_by: "swtpm --version".to_owned() }),
            networks: Vec::new(),
            ..able()
        };
        assert_eq!(fields(&facts, Severity::Blocker), [Field::SecureBoot, Field::Tpm, Field::Network]);
        for finding in preflight(&making(), &facts) {
            assert!(!finding.shown_by.is_empty() && !finding.next.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn emulation_is_a_warning_and_a_network_that_is_down_a_blocker() {
        let mut facts = able();
        assert_eq!(fields(&facts, Severity::Warning), [Field::CpuModel]);
        facts.networks[0].active = false;
        assert!(fields(&facts, Severity::Blocker).contains(&Field::Network));
    }

    #[test]
    fn a_folder_that_qemu_cannot_enter_is_named() {
        let mut facts = able();
        let at = PathBuf::from("/home/me");
        let fact = Fact { value: Reach::Closed { at }, shown_by: "namei".to_owned() };
        facts.reach.insert("/images/web.qcow2".into(), fact);
        let findings = preflight(&making(), &facts);
        let finding = findings.iter().find(|one| one.field == Field::DiskPath).unwrap();
        assert_eq!(finding.next, "let it pass: `chmod o+x /home/me`, or put the file elsewhere");
    }

    #[test]
    fn what_is_wrong_for_many_vms_is_said_once() {
        let [one] = &preflight(&making(), &able())[..] else { panic!("emulation alone") };
        let of = |vm: &str| Finding { vm: vm.to_owned(), ..one.clone() };
        let other = Finding { what: "another".to_owned(), ..of("b") };
        let findings = [of("a"), other.clone(), of("b"), of("c")];
        assert_eq!(by_cause(&findings), [(vec!["a", "b", "c"], &findings[0]), (vec!["b"], &other)]);
    }

    #[test]
    fn a_disk_that_may_outgrow_its_file_system_is_told_with_both_numbers() {
        let mut plan = making();
        let path = PathBuf::from("/images/web.qcow2");
        plan.vms[0].disk = Some(DiskStep::Create { path: path.clone(), size_gb: 80 });
        let told = |room: ByteSize| {
            let facts = Facts { room: [(path.clone(), room)].into(), ..able() };
            let findings = preflight(&plan, &facts).into_iter();
            findings.filter(|one| one.field == Field::DiskSizeGb).map(|one| one.what).collect::<Vec<_>>()
        };
        assert_eq!(told(ByteSize::gib(80)), Vec::<String>::new());
        assert_eq!(
            told(ByteSize::gib(12)),
            ["its disk may grow by 80 GiB, and `/images` has room for 12 GiB"]
        );
    }

    #[test]
    fn a_vm_that_is_left_as_it_is_has_nothing_to_prove() {
        let plan = VmPlan { uri: String::new(), vms: Vec::new() };
        assert_eq!(preflight(&plan, &Facts::default()), []);
    }
}
