//! Where distributions keep UEFI firmware (EDK II) for QEMU.
//!
//! Two files belong together: the code, mapped read-only, and the template of the variables, of
//! which each VM gets a copy of its own. Tests: below.

use std::path::{Path, PathBuf};

/// Firmware of one VM, or a template for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UefiFiles {
    /// The code.
    pub code: PathBuf,
    /// The variables.
    pub vars: PathBuf,
}

/// Code and variables without Secure Boot, newest layout first. The 4 MiB layout comes first: the
/// 2 MiB one is no longer shipped by Debian 13 and Fedora 40.
const KNOWN: &[(&str, &str)] = &[
    // Debian, Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora, RHEL.
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    // QEMU's own build, also Homebrew's.
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
];

/// The installed firmware; none where no known place has both files.
pub fn installed() -> Option<UefiFiles> {
    choose(Path::is_file)
}

/// The first pair whose files both exist.
fn choose(exists: impl Fn(&Path) -> bool) -> Option<UefiFiles> {
    let pair = KNOWN.iter().find(|(code, vars)| exists(Path::new(code)) && exists(Path::new(vars)))?;
    Some(UefiFiles { code: pair.0.into(), vars: pair.1.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_its_variables_is_passed_over() {
        let only_code =
            |path: &Path| path == Path::new(KNOWN[0].0) || path.starts_with("/usr/share/edk2/ovmf");
        assert_eq!(choose(only_code).unwrap().code, Path::new("/usr/share/edk2/ovmf/OVMF_CODE.fd"));
        assert_eq!(choose(|_| false), None);
        assert_eq!(choose(|_| true).unwrap().vars, Path::new(KNOWN[0].1));
    }
}
