//! The firmware and the TPM. Tests: in `tests.rs`.

use roxmltree::Node;

use super::{EditError, add_device};
use crate::domain::project::{boot_of, devices, is_x86, secure_boot_of};
use crate::domain::render::{devices as new, firmware_features};
use crate::domain::{Boot, TpmVersion};
use crate::xml::{Element, Splices, XmlError, at, attr, child, children, text};

/// Changes the firmware's kind: the files that were chosen go, so that libvirt chooses anew, and what it
/// must look for is written out.
pub(super) fn set(
    root: Node<'_, '_>,
    boot: Boot,
    secure_boot: bool,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let os = child(root, "os").ok_or(XmlError::Missing { path: "os" })?;
    if boot_of(root) == boot && (boot == Boot::Bios || secure_boot_of(root) == Some(secure_boot)) {
        return Ok(());
    }
    let kind = child(os, "type").ok_or(XmlError::Missing { path: "os/type" })?;
    if text(kind) != "hvm" {
        return Err(EditError::NotHvm { kind: text(kind) });
    }
    let is_pc = is_x86(root);
    if boot == Boot::Uefi {
        possible(root, attr(kind, "machine").unwrap_or_default(), secure_boot)?;
    }
    for name in ["loader", "nvram", "firmware"] {
        children(os, name).for_each(|node| splices.remove(node));
    }
    match boot {
        Boot::Bios => splices.remove_attribute(os, "firmware"),
        Boot::Uefi => {
            splices.set_attribute(os, "firmware", "efi");
            if is_pc {
                splices.insert_after(kind, &[firmware_features(secure_boot)]);
            }
            if is_pc && secure_boot {
                manage_memory(root, splices);
            }
        }
    }
    Ok(())
}

/// Refuses what libvirt or the firmware would refuse, or worse, start without what was asked for.
fn possible(root: Node<'_, '_>, machine: &str, secure_boot: bool) -> Result<(), EditError> {
    if !is_x86(root) {
        return if secure_boot { Err(EditError::SecureBoot { machine: machine.to_owned() }) } else { Ok(()) };
    }
    if at(root, &["features", "acpi"]).is_none() {
        return Err(EditError::NoAcpi);
    }
    if secure_boot && !machine.contains("q35") {
        return Err(EditError::SecureBoot { machine: machine.to_owned() });
    }
    Ok(())
}

/// Turns on system management mode, from which alone the variables can be written.
fn manage_memory(root: Node<'_, '_>, splices: &mut Splices<'_>) {
    match (at(root, &["features", "smm"]), child(root, "features")) {
        (Some(smm), _) => splices.set_attribute(smm, "state", "on"),
        (None, Some(features)) => splices.append(features, &[Element::new("smm").attr("state", "on")]),
        // UEFI on a PC needs ACPI, which is in there.
        (None, None) => {}
    }
}

/// Adds an emulated TPM, changes its version, or removes it.
pub(super) fn tpm(
    root: Node<'_, '_>,
    version: Option<TpmVersion>,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let found: Vec<_> = devices(root, "tpm").collect();
    for tpm in &found {
        let backend = child(*tpm, "backend").and_then(|backend| attr(backend, "type"));
        if backend != Some("emulator") {
            return Err(EditError::TpmNotEmulated { kind: backend.unwrap_or("nothing").to_owned() });
        }
    }
    let Some(version) = version else {
        found.iter().for_each(|tpm| splices.remove(*tpm));
        return Ok(());
    };
    let Some(tpm) = found.first() else {
        return add_device(root, new::tpm(version, is_x86(root)), splices);
    };
    let Some(backend) = child(*tpm, "backend") else { return Ok(()) };
    let text = if version == TpmVersion::V2_0 { "2.0" } else { "1.2" };
    splices.set_attribute(backend, "version", text);
    if version == TpmVersion::V1_2 && attr(*tpm, "model") == Some("tpm-crb") {
        // The one interface that version 1.2 has not.
        splices.set_attribute(*tpm, "model", "tpm-tis");
    }
    Ok(())
}
