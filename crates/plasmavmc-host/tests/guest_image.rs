//! The guest images, built from real packages and booted by real QEMU without acceleration.
//!
//! QEMU is driven here as plainly as can be, so that a fault in Castra's own backend is not taken
//! for one of the image.

mod agent;
mod qemu;

use std::fs;
use std::io::{self, Cursor, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use agent::Session;
use castra_agent_proto::request::Outcome;
use castra_testkit::{AGENT, debian_image, tiny_image, until};
use plasmavmc_host::guest::{self, BuildStep, Recipe};
use plasmavmc_host::{HostError, exec};
use qemu::{Firmware, Guest};
use tempfile::TempDir;

/// Time from launch to the SSH banner: some 5 s on a quiet machine, 10 s by UEFI.
const BOOT_BOUND: Duration = Duration::from_secs(90);
/// Time from the power button to the end of QEMU: some 0.2 s on a quiet machine.
const POWEROFF_BOUND: Duration = Duration::from_secs(20);
/// Time for Debian to boot, to settle or to shut down: some 60 s to the banner.
const DEBIAN_BOOT_BOUND: Duration = Duration::from_secs(300);
/// Time for one command over SSH; one of them waits for all of cloud-init.
const SSH_BOUND: Duration = Duration::from_secs(120);

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
    let login = Login::new("local-hostname: \"web-1\"\ncastra-powerdown: ignore\n");
    let mut guest = Guest::launch(&tiny_image(), Firmware::Bios, Some(&login.seed));
    guest.wait_for_banner(BOOT_BOUND);
    guest.wait_for_serial("castra-guest: ready", BOOT_BOUND);
    let port = guest.ssh_port();
    let ssh = |script: &str| login.ssh("root", port, script).expect("a key of the seed lets in");
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
fn a_bios_boots_debian_and_cloud_init_takes_the_seed() {
    let login = Login::new("local-hostname: deb-1\n");
    let mut guest = Guest::launch(&debian_image(), Firmware::Bios, Some(&login.seed));
    guest.wait_for_banner(DEBIAN_BOOT_BOUND);
    let port = guest.ssh_port();
    // The server greets before cloud-init lets everyone in.
    let script = "cloud-init status --wait >/dev/null; sudo -n sh -c 'hostname; cloud-init status; df --output=target /boot/efi | tail -n 1'";
    let mut answer = None;
    guest.poll(DEBIAN_BOOT_BOUND, "login", |_| {
        answer = login.ssh("debian", port, script).ok();
        answer.is_some()
    });
    assert_eq!(answer.as_deref(), Some("deb-1\nstatus: done\n/boot/efi\n"));
    guest.press_power_button();
    guest.wait_for_exit(DEBIAN_BOOT_BOUND);
}

#[test]
fn the_tiny_guest_has_an_agent_that_is_started_again_when_it_dies() {
    let guest = Guest::launch(&tiny_image(), Firmware::Bios, None);
    let (mut session, reply) = Session::begin(guest.agent_port(), BOOT_BOUND);
    let mut reply = reply.check("web").expect("a guest tells who it is");
    assert!(reply.agent_started_ms > 0 && reply.uptime_ms >= reply.agent_started_ms);
    reply.capabilities.retain(|name| name != "bus-v1");
    assert_eq!(reply.capabilities, ["exec", "files", "mount", "shutdown", "stages", "time"]);
    let (said, outcome) = session.sh("hostname; cat /proc/$PPID/comm; exit 3", BOOT_BOUND);
    assert!(said.ends_with("\ncastra-agent\n"), "{said}");
    assert_eq!(outcome, Some(Outcome::Exited { code: 3 }));
    let (memory, _) = session.sh("awk '/VmRSS/ { print $2 }' /proc/$PPID/status", BOOT_BOUND);
    let kib: u32 = memory.trim().parse().expect("the kernel tells what the agent holds");
    assert!(kib < 3 * 1024, "the agent holds {kib} KiB");

    let (agent, _) = session.sh("echo $PPID; (sleep 0.2; kill -9 $PPID) >/dev/null 2>&1 &", BOOT_BOUND);
    drop(session);
    until(BOOT_BOUND, || {
        let (mut session, _) = Session::begin(guest.agent_port(), BOOT_BOUND);
        let other = session.sh("echo $PPID", BOOT_BOUND).0;
        if other == agent { Err("another agent") } else { Ok(()) }
    });
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
    let built = guest::build(Recipe::Tiny, AGENT, &out, &mut |step| steps.push(step)).unwrap();
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
    let error = guest::build(Recipe::Tiny, AGENT, &file.join("tiny.qcow2"), &mut |_| {}).unwrap_err();
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

/// A new SSH key, and a seed that lets it in.
struct Login {
    _dir: TempDir,
    key: PathBuf,
    seed: PathBuf,
}

impl Login {
    /// A seed with `meta_data` beside the key.
    fn new(meta_data: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the key");
        let (key, seed) = (dir.path().join("key"), dir.path().join("seed.img"));
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test@host", "-f"]).arg(&key);
        exec::run(command, SSH_BOUND).expect("`ssh-keygen` works: `sudo apt-get install openssh-client`");
        let public = fs::read_to_string(key.with_extension("pub")).expect("the key has a public half");
        let meta_data = format!("instance-id: i-1\n{meta_data}");
        let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {public}\n");
        let volume = seed_volume(&[("meta-data", &meta_data), ("user-data", &user_data)]);
        fs::write(&seed, volume.expect("a seed fits its volume")).expect("the seed can be written");
        Self { _dir: dir, key, seed }
    }

    /// What `script` prints when run by `user` over SSH.
    fn ssh(&self, user: &str, port: u16, script: &str) -> Result<String, HostError> {
        let mut command = Command::new("ssh");
        command.arg("-i").arg(&self.key).args(["-p", &port.to_string(), "-F", "none", "-o", "BatchMode=yes"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20"]);
        command.args([&format!("{user}@127.0.0.1"), script]);
        exec::run(command, SSH_BOUND).map(|output| output.text().into_owned())
    }
}
