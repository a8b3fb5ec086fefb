//! The keys, as OpenSSH's own program reads them.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use plasmavmc_host::Layout;
use plasmavmc_host::keys::{self, KeyPair};

fn ssh_keygen(args: &[&str], file: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    let output = command.args(args).arg("-f").arg(file).output().expect("openssh-client is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssh_finds_the_public_half_in_a_private_file_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let pair = keys::client_key(&layout).unwrap();
    let public = ssh_keygen(&["-y", "-P", ""], &layout.client_key());
    assert_eq!(public.trim(), format!("{} castra", pair.public_line()));
}

#[test]
fn a_key_that_openssh_made_is_read_and_one_with_a_passphrase_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (open, closed) = (dir.path().join("open"), dir.path().join("closed"));
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "someone"], &open);
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "secret", "-C", "someone"], &closed);
    let pair = KeyPair::from_openssh(&fs::read_to_string(&open).unwrap()).unwrap();
    let public = fs::read_to_string(open.with_extension("pub")).unwrap();
    assert_eq!(public.trim(), format!("{} someone", pair.public_line()));
    assert_eq!(KeyPair::from_openssh(&fs::read_to_string(&closed).unwrap()), None);
}
