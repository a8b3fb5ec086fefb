//! The tiny guest, built from real packages and booted by real QEMU without acceleration.
//!
//! QEMU is driven here as plainly as can be, so that a fault in Castra's own backend is not taken
//! for one of the image.

mod qemu;

use std::fs;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use castra_testkit::tiny_image;
use plasmavmc_host::exec;
use plasmavmc_host::guest::{self, BuildStep, Recipe};
use qemu::{Firmware, Guest};

/// Time from launch to the SSH banner: some 5 s on a quiet machine, 10 s by UEFI.
const BOOT_BOUND: Duration = Duration::from_secs(90);
/// Time from the power button to the end of QEMU: some 0.2 s on a quiet machine.
const POWEROFF_BOUND: Duration = Duration::from_secs(20);
/// Time for one command over SSH.
const SSH_BOUND: Duration = Duration::from_secs(30);

#[test]
fn a_bios_boots_the_tiny_guest_to_ssh_and_the_power_button_ends_it() {
    boots_and_powers_off(Firmware::Bios);
}

#[test]
fn uefi_boots_the_tiny_guest_to_ssh_and_the_power_button_ends_it() {
    boots_and_powers_off(Firmware::Uefi);
}

fn boots_and_powers_off(firmware: Firmware) {
    let mut guest = Guest::launch(&tiny_image(), firmware, None);
    guest.wait_for_banner(BOOT_BOUND);
    // Who can log in can also power off: the button is listened to before the SSH server starts.
    guest.press_power_button();
    guest.wait_for_exit(POWEROFF_BOUND);
    let serial = guest.serial();
    assert!(serial.contains("Linux version "), "the kernel's start is not shown: {serial}");
    assert!(serial.contains("castra-guest: no seed"), "{serial}");
    assert!(serial.contains("castra-guest: network eth0 10.0.2.15/24 (dhcp)"), "{serial}");
}

#[test]
fn a_seed_names_the_guest_lets_its_key_in_and_can_disable_the_power_button() {
    let dir = tempfile::tempdir().unwrap();
    let key = new_key(dir.path());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let meta_data = "instance-id: i-1\nlocal-hostname: \"web-1\"\ncastra-powerdown: ignore\n";
    let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {public}\n");
    let seed = dir.path().join("seed.img");
    fs::write(&seed, seed_volume(&[("meta-data", meta_data), ("user-data", &user_data)]).unwrap()).unwrap();

    let mut guest = Guest::launch(&tiny_image(), Firmware::Bios, Some(&seed));
    guest.wait_for_banner(BOOT_BOUND);
    guest.wait_for_serial("castra-guest: ready", BOOT_BOUND);
    let port = guest.ssh_port();
    let ssh = |script: &str| ssh(&key, port, script);
    assert_eq!(ssh("hostname"), "web-1\n");
    assert_eq!(ssh("mount /dev/vda1 /mnt && echo kept >/mnt/note && cat /mnt/note && umount /mnt"), "kept\n");

    // A guest that listened to the button would be gone before it could answer once more.
    let interrupts = "awk '/acpi/ { print $2 }' /proc/interrupts";
    let before = ssh(interrupts);
    guest.press_power_button();
    guest.poll(POWEROFF_BOUND, "the button's interrupt", |_| ssh(interrupts) != before);
    assert!(guest.serial().contains("castra-guest: the power button is ignored"));

    ssh("poweroff");
    guest.wait_for_exit(POWEROFF_BOUND);
}

#[test]
fn the_serial_console_is_a_root_shell() {
    let mut guest = Guest::launch(&tiny_image(), Firmware::Bios, None);
    guest.wait_for_serial("castra-guest: ready", BOOT_BOUND);
    guest.wait_for_serial("root@tiny:/# ", BOOT_BOUND);
    guest.type_on_console("echo sum-$((40 + 2)) for $(id -un)\n");
    guest.wait_for_serial("sum-42 for root", BOOT_BOUND);
    guest.type_on_console("poweroff\n");
    guest.wait_for_exit(POWEROFF_BOUND);
}

#[test]
fn a_build_tells_its_steps_and_leaves_only_a_small_image() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("images/tiny.qcow2");
    let mut steps = Vec::new();
    let built = guest::build(Recipe::Tiny, &out, &mut |step| steps.push(step)).unwrap();
    assert_eq!(steps.first(), Some(&BuildStep::Preflight));
    assert_eq!(steps.last(), Some(&BuildStep::Convert));
    let names: Vec<_> =
        fs::read_dir(dir.path().join("images")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tiny.qcow2"]);
    assert_eq!(built.size.as_bytes(), fs::metadata(&built.path).unwrap().len());
    assert!(built.size.as_bytes() <= 20_000_000, "the image has grown to {}", built.size);
}

#[test]
fn a_build_that_cannot_write_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = guest::build(Recipe::Tiny, &file.join("tiny.qcow2"), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), format!("failed to create directory `{}`", file.display()));
}

/// A cloud-init seed: a FAT volume labelled as NoCloud wants it.
fn seed_volume(files: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let mut volume = Cursor::new(vec![0; 1 << 20]);
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(&mut volume, options)?;
    let system = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new())?;
    for (name, text) in files {
        system.root_dir().create_file(name)?.write_all(text.as_bytes())?;
    }
    system.unmount()?;
    Ok(volume.into_inner())
}

/// A new SSH key in `dir`.
fn new_key(dir: &Path) -> std::path::PathBuf {
    let key = dir.join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test@host", "-f"]).arg(&key);
    exec::run(command, SSH_BOUND).expect("`ssh-keygen` works: `sudo apt-get install openssh-client`");
    key
}

/// What `script` prints when run as root over SSH.
fn ssh(key: &Path, port: u16, script: &str) -> String {
    let mut command = Command::new("ssh");
    command.arg("-i").arg(key).args(["-p", &port.to_string(), "-F", "none", "-o", "BatchMode=yes"]);
    command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "root@127.0.0.1", script]);
    exec::run(command, SSH_BOUND).expect("the command succeeds over ssh").text().into_owned()
}
