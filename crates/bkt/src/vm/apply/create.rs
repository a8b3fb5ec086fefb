//! Makes a VM: its disk, then its definition.

use std::path::Path;

use plasmavmc_host::{disk_image, failpoint};
use plasmavmc_libvirt::domain::{Boot, Domain, NewDisk, NewVm, TpmVersion, render};
use plasmavmc_libvirt::virsh::Connection;
use plasmavmc_types::{ByteSize, MacAddr, VmId};
use serde_json::Value;

use super::{ApplyError, Done};
use crate::vm::edits::{cpu, graphics, network, paths};
use crate::vm::observe::look;
use crate::vm::plan::{Blueprint, DiskStep, Entry, Files, disk_file, drawn_mac, is_here};
use crate::vm::stale::stale_disk;
use crate::vm::{Applied, Beside, Field, Meant, Values, current};

/// Makes a VM.
pub(super) fn create(
    entry: &Entry,
    blueprint: &Blueprint,
    connection: &Connection,
) -> Result<Done, ApplyError> {
    let mut done = Done::new(entry);
    still_free(entry, blueprint, connection)?;
    let id = VmId::generate();
    let applied = entry.applied.clone().unwrap_or_default();
    let mac = mac(blueprint, id);
    let applied = Applied { nic: mac, ..applied };
    let xml = render(&new_vm(entry, blueprint, id, &applied))?;
    if let Some(step @ DiskStep::Create { path, size_gb }) = &entry.disk {
        disk_image::create(path, ByteSize::gib(*size_gb))?;
        done.step(step.to_string());
    }
    failpoint::hit("sync.disk-made");
    // A large disk takes a while: somebody may have made a VM of that name, or with that disk, meanwhile.
    let made = Entry { disk: None, ..entry.clone() };
    still_free(&made, blueprint, connection)?;
    let writer = connection.writer();
    writer.define(&xml, true)?;
    failpoint::hit("sync.defined");
    let made = writer.with_secrets(id)?;
    let domain = made.domain()?;
    let found =
        current(&domain, &Beside::default(), &Meant { wanted: Some(&blueprint.values), applied: None });
    let what = differences(&blueprint.values, &found.values);
    if !what.is_empty() {
        // It has never run: nothing but its definition goes.
        writer.undefine_keeping(id)?;
        return Err(ApplyError::NotMade { what });
    }
    done.step(format!("defined it as {id}"));
    if blueprint.values.get(&Field::Autostart) == Some(&Value::Bool(true)) {
        writer.set_autostart(id, true)?;
        done.step("it starts with the host");
    }
    Ok(done)
}

/// Whether nobody has the name and the disk of a new VM, and the disk is what the plan says.
fn still_free(entry: &Entry, blueprint: &Blueprint, connection: &Connection) -> Result<(), ApplyError> {
    let reader = connection.reader();
    let known = reader.observe()?;
    if known.iter().any(|observed| observed.name == entry.name) {
        return Err(ApplyError::Changed { what: "there is one of that name now" });
    }
    let disk = blueprint.text(Field::DiskPath).map(Path::new);
    let has_it =
        |domain: Domain| domain.fields.disks.iter().filter_map(disk_file).any(|file| Some(file) == disk);
    if known.iter().any(|observed| observed.inactive.domain().is_ok_and(has_it)) {
        return Err(ApplyError::Changed { what: "another VM has its disk now" });
    }
    let mut files = Files::new();
    if let Some(disk) = disk.filter(|_| reader.uri().is_ok_and(|uri| is_here(&uri))) {
        files.insert(disk.to_owned(), look(disk));
    }
    match stale_disk(entry, &files) {
        Some(what) => Err(ApplyError::Changed { what }),
        None => Ok(()),
    }
}

/// The fields of the XML that did not come out as planned.
pub(super) fn differences(planned: &Values, found: &Values) -> Vec<String> {
    let is_in_xml = |field: &Field| !matches!(field, Field::Autostart | Field::DiskSizeGb);
    let planned = planned.iter().filter(|(field, _)| is_in_xml(field));
    let differs = planned.filter(|(field, value)| found.get(field) != Some(value));
    differs
        .map(|(field, value)| {
            let (is, to) =
                (super::super::plan::shown(found.get(field)), super::super::plan::shown(Some(value)));
            format!("{field} is {is} and not {to}")
        })
        .collect()
}

fn mac(blueprint: &Blueprint, id: VmId) -> Option<MacAddr> {
    let stated = blueprint.text(Field::Mac).and_then(|text| text.parse().ok());
    let has_card = blueprint.text(Field::Network).is_some_and(|network| network != "none");
    has_card.then(|| stated.unwrap_or_else(|| drawn_mac(id)))
}

fn new_vm(entry: &Entry, blueprint: &Blueprint, id: VmId, applied: &Applied) -> NewVm {
    let text = |field| blueprint.text(field);
    NewVm {
        name: entry.name.clone(),
        id,
        kind: blueprint.kind.clone(),
        emulator: blueprint.emulator.clone(),
        arch: blueprint.arch.clone(),
        machine: None,
        cpu: cpu(text(Field::CpuModel).unwrap_or("host-model")),
        memory_kib: blueprint.number(Field::Memory).saturating_mul(1024),
        vcpus: u32::try_from(blueprint.number(Field::Vcpus)).unwrap_or(1),
        boot: if text(Field::Boot) == Some("uefi") { Boot::Uefi } else { Boot::Bios },
        secure_boot: blueprint.values.get(&Field::SecureBoot) == Some(&Value::Bool(true)),
        tpm: (text(Field::Tpm) == Some("2.0")).then_some(TpmVersion::V2_0),
        disks: vec![NewDisk {
            path: text(Field::DiskPath).unwrap_or_default().into(),
            format: blueprint.disk_format,
            bus: text(Field::DiskBus).unwrap_or_default().to_owned(),
        }],
        cdroms: blueprint.values.get(&Field::IsoSources).map(paths).unwrap_or_default(),
        network: text(Field::Network).and_then(network),
        mac: applied.nic,
        graphics: text(Field::Graphics).and_then(graphics),
        title: text(Field::Title).map(str::to_owned),
        mark: Some(applied.to_mark(&entry.name)),
    }
}
