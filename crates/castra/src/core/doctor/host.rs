//! The programs and files Castra needs of the host. Tests: below.

use plasmavmc_host::exec::QEMU_IMG;
use plasmavmc_host::guest::{self, Recipe};
use plasmavmc_host::qemu::{self, GuestArch, QemuBinary, QemuError};
use plasmavmc_kvm::{UefiFiles, installed_firmware};
use plasmavmc_types::Explain;

use super::{Check, CheckName, CheckStatus};
use crate::core::session::Session;

/// The QEMU that VMs are run with.
pub(super) fn locate_qemu(session: &Session) -> Result<QemuBinary, QemuError> {
    // On a host without guests of its own architecture there is no native emulator to look for.
    let arch = GuestArch::of_host().unwrap_or(GuestArch::X86_64);
    qemu::locate(arch, session.qemu.as_deref())
}

/// Whether QEMU is there and answers as QEMU does.
pub(super) fn qemu(located: &Result<QemuBinary, QemuError>) -> Check {
    let version = match located {
        Ok(qemu) => qemu.version().map(|version| (qemu, version)),
        Err(error) => return Check::failed(CheckName::Qemu, CheckStatus::Problem, error),
    };
    match version {
        Ok((qemu, version)) => {
            Check::ok(CheckName::Qemu, format!("QEMU {version} at {}", qemu.path().display()))
        }
        Err(error) => Check::failed(CheckName::Qemu, CheckStatus::Problem, &error),
    }
}

/// Whether VMs with `firmware = "uefi"` can start.
pub(super) fn firmware() -> Check {
    judge_firmware(installed_firmware())
}

fn judge_firmware(found: Option<UefiFiles>) -> Check {
    match found {
        Some(files) => Check::ok(CheckName::Firmware, files.code.display().to_string()),
        None => {
            Check::warning(CheckName::Firmware, "not installed: VMs with `firmware = \"uefi\"` cannot start")
                .with_hint("install it: `sudo apt-get install ovmf`")
        }
    }
}

/// Whether `qemu-img` is there. VMs run without it.
pub(super) fn qemu_img() -> Check {
    match QEMU_IMG.find() {
        Some(path) => Check::ok(CheckName::QemuImg, path.display().to_string()),
        None => Check::warning(CheckName::QemuImg, "not installed: `castra image build` needs it")
            .with_hint(format!("install it: `sudo apt-get install {}`", QEMU_IMG.package())),
    }
}

/// Whether images can be built here.
pub(super) fn image_build() -> Check {
    let lacking = Recipe::ALL.iter().filter_map(|&recipe| Some((recipe, guest::check(recipe).err()?)));
    let lacking: Vec<_> = lacking.collect();
    let Some((_, first)) = lacking.first() else {
        let names = Recipe::ALL.map(|recipe| format!("`{recipe}`")).join(" and ");
        return Check::ok(CheckName::ImageBuild, format!("can build {names}"));
    };
    let mut hints: Vec<String> = lacking.iter().flat_map(|(_, error)| error.hints()).collect();
    hints.dedup();
    let details = lacking.iter().map(|(recipe, error)| format!("`castra image build {recipe}`: {error}"));
    let summary = match lacking.len() {
        count if count == Recipe::ALL.len() => "no image can be built here; downloaded ones work".to_owned(),
        _ => first.to_string(),
    };
    let check = Check::warning(CheckName::ImageBuild, summary).with_details(details);
    Check { hints, ..check }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn session(qemu: Option<PathBuf>) -> Session {
        let dirs = crate::env::UserDirs::from_values(Some("/nonexistent/castra".into()), None).unwrap();
        Session { qemu, ..Session::new(dirs, "/") }
    }

    #[test]
    fn the_installed_qemu_is_told_with_version_and_path() {
        let check = qemu(&locate_qemu(&session(None)));
        assert_eq!(check.status, CheckStatus::Ok, "{check:?}");
        assert!(check.summary.starts_with("QEMU ") && check.summary.contains("/qemu-system-"), "{check:?}");
    }

    #[test]
    fn a_file_that_is_no_qemu_is_a_problem_with_a_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), std::path::Path::new("/bin/true")] {
            let check = qemu(&locate_qemu(&session(Some(path.to_owned()))));
            assert_eq!(check.status, CheckStatus::Problem, "{check:?}");
            assert!(!check.hints.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn missing_firmware_is_no_problem_for_those_who_do_not_ask_for_it() {
        assert_eq!(judge_firmware(None).status, CheckStatus::Warning);
        let files = UefiFiles { code: "/f/code.fd".into(), vars: "/f/vars.fd".into() };
        assert_eq!(judge_firmware(Some(files)), Check::ok(CheckName::Firmware, "/f/code.fd"));
    }
}
