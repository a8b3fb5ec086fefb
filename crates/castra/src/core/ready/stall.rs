//! Why a guest most likely does not come up, from what it wrote to its console and how far it got.
//!
//! A guess, and told as one: the console is the guest's word, and nothing is decided by it but the
//! sentence a person reads. Pure. Tests: below, on the words that firmware, boot loaders, kernels and
//! init systems really write.

use plasmavmc_types::{Stage, VmName};

/// What most likely holds a guest up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// It has written nothing at all.
    Silent,
    /// Its firmware finds nothing to start.
    NotBootable,
    /// Its boot loader finds no kernel.
    BootLoader,
    /// Its kernel finds no root file system.
    NoRoot,
    /// Its kernel crashed.
    Panic,
    /// It ran out of memory.
    OutOfMemory,
    /// Its init gave up and waits for a person.
    Emergency,
    /// It is up and has no address.
    NoNetwork,
    /// Its SSH server listens, but does not answer through the forward.
    SshUnanswered,
    /// cloud-init is at work.
    CloudInit,
    /// It is up, and no SSH server listens.
    NoSshServer,
    /// Nothing is wrong that can be seen.
    StillBooting,
}

/// Words on a console, and what they mean. The first that is found counts: a crashed kernel may have
/// had an init that gave up before.
const WORDS: [(&str, Stall); 17] = [
    ("Unable to mount root fs", Stall::NoRoot),
    ("Kernel panic - not syncing", Stall::Panic),
    ("Out of memory: Killed process", Stall::OutOfMemory),
    ("oom-kill:", Stall::OutOfMemory),
    ("grub rescue>", Stall::BootLoader),
    ("grub>", Stall::BootLoader),
    ("You are in emergency mode", Stall::Emergency),
    ("Entering emergency mode", Stall::Emergency),
    ("Cannot open access to console, the root account is locked", Stall::Emergency),
    ("(initramfs)", Stall::NoRoot),
    ("No bootable device", Stall::NotBootable),
    ("Boot failed: not a bootable disk", Stall::NotBootable),
    ("No bootable option or device was found", Stall::NotBootable),
    ("UEFI Interactive Shell", Stall::NotBootable),
    ("Could not find kernel image", Stall::BootLoader),
    ("No DHCPOFFERS received", Stall::NoNetwork),
    ("No lease, failing", Stall::NoNetwork),
];

/// Guesses what holds a guest up that wrote `console` and reached `stages`.
pub fn stall(console: &str, stages: &[Stage]) -> Stall {
    let reached = |stage| stages.contains(&stage);
    if let Some((_, found)) = WORDS.into_iter().find(|(words, _)| console.contains(words)) {
        return found;
    }
    let cloud_init_works = console.contains("cloud-init[") && !console.contains("finished at");
    match () {
        () if reached(Stage::Sshd) => Stall::SshUnanswered,
        () if cloud_init_works && !reached(Stage::CloudInit) => Stall::CloudInit,
        () if reached(Stage::Handshake) && !reached(Stage::Network) => Stall::NoNetwork,
        () if reached(Stage::Network) || console.trim_end().ends_with("login:") => Stall::NoSshServer,
        () if console.trim().is_empty() && !reached(Stage::Handshake) => Stall::Silent,
        () => Stall::StillBooting,
    }
}

impl Stall {
    /// The guess as a sentence without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Silent => "the guest has written nothing to its serial console",
            Self::NotBootable => "the firmware finds nothing to boot on the disk",
            Self::BootLoader => "the boot loader finds no kernel",
            Self::NoRoot => "the kernel finds no root file system",
            Self::Panic => "the guest's kernel crashed",
            Self::OutOfMemory => "the guest ran out of memory",
            Self::Emergency => "the guest's init gave up and waits for a person",
            Self::NoNetwork => "the guest is up and has no network address",
            Self::SshUnanswered => {
                "an SSH server listens in the guest and does not answer through the forward"
            }
            Self::CloudInit => "cloud-init is still at work in the guest",
            Self::NoSshServer => "the guest is up and no SSH server listens in it",
            Self::StillBooting => "the guest is still booting as far as can be seen",
        }
    }

    /// What to try, most likely help first.
    pub fn hints(self, vm: &VmName) -> Vec<String> {
        let one = |text: String| vec![text];
        let longer = "`castra up --timeout 600` waits longer; emulation without KVM is slow".to_owned();
        match self {
            Self::Silent => one(
                "the image may not boot under this firmware, or use no serial console: try `firmware = \"uefi\"`"
                    .to_owned(),
            ),
            Self::NotBootable => {
                one("try the other firmware: `firmware = \"uefi\"` or `firmware = \"bios\"`".to_owned())
            }
            Self::BootLoader | Self::NoRoot => {
                one("the image itself may be broken: `castra image verify`".to_owned())
            }
            Self::Panic => one(format!("`castra logs {vm} --source serial --tail 60` shows where")),
            Self::OutOfMemory => one("give it more: `memory = \"2 GiB\"`".to_owned()),
            Self::Emergency => one(format!("`castra console {vm}` talks to it")),
            Self::NoNetwork => {
                one("look at `network_config` under `cloud_init`; without one, the guest asks by DHCP".to_owned())
            }
            Self::SshUnanswered => one(format!("`castra exec {vm} -- ss -tln` shows where it listens")),
            Self::NoSshServer => {
                one("install one in the image or by `user_data`, or use `castra up --wait running`".to_owned())
            }
            Self::CloudInit | Self::StillBooting => one(longer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTED: &[Stage] = &[Stage::Machine, Stage::Console, Stage::Handshake, Stage::Network];

    #[test]
    fn what_a_console_says_is_understood() {
        let cases = [
            ("", Stall::Silent),
            ("\r\n\r\n", Stall::Silent),
            ("Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n", Stall::NotBootable),
            ("BdsDxe: No bootable option or device was found.\r\n", Stall::NotBootable),
            ("error: unknown filesystem.\r\ngrub rescue> ", Stall::BootLoader),
            (
                "[ 1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                Stall::NoRoot,
            ),
            ("[ 9.1] Kernel panic - not syncing: Attempted to kill init!", Stall::Panic),
            ("Gave up waiting for root file system device.\r\n(initramfs) ", Stall::NoRoot),
            ("You are in emergency mode. After logging in, type", Stall::Emergency),
            ("[ 40.2] Out of memory: Killed process 311 (apt)", Stall::OutOfMemory),
            ("cloud-init[412]: Cloud-init v. 22.4.2 running 'modules:config'", Stall::CloudInit),
            ("Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ", Stall::NoSshServer),
            ("[    0.000000] Linux version 6.1.0", Stall::StillBooting),
        ];
        for (console, expected) in cases {
            assert_eq!(stall(console, &[Stage::Machine]), expected, "{console:?}");
        }
    }

    #[test]
    fn what_the_agent_reports_counts_where_the_console_says_nothing() {
        let (handshake, sshd) = ([Stage::Machine, Stage::Handshake], [BOOTED, &[Stage::Sshd]].concat());
        assert_eq!(stall("", &handshake), Stall::NoNetwork);
        assert_eq!(stall("", BOOTED), Stall::NoSshServer);
        assert_eq!(stall("", &sshd), Stall::SshUnanswered);
    }

    #[test]
    fn a_crash_counts_whatever_came_before_it() {
        let console = "cloud-init[4]: running\r\nweb login: \r\nKernel panic - not syncing: oops";
        assert_eq!(stall(console, BOOTED), Stall::Panic);
    }

    #[test]
    fn every_guess_has_a_sentence_and_something_to_try() {
        let vm: VmName = "web".parse().unwrap();
        for (_, stall) in WORDS.into_iter().chain([
            ("", Stall::Silent),
            ("", Stall::SshUnanswered),
            ("", Stall::CloudInit),
            ("", Stall::NoSshServer),
            ("", Stall::StillBooting),
        ]) {
            assert!(!stall.sentence().ends_with('.') && !stall.hints(&vm).is_empty(), "{stall:?}");
        }
    }
}
