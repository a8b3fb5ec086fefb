//! Why a VM is stopped, from libvirt's word for it and from what we noted before we asked. Pure.
//!
//! libvirt tells a guest that powered off from a process that was ended, and not who ended it: that is the
//! note's. Its word is lost when its daemon restarts. Tests: below, one row per case.

use plasmavmc_hypervisor::StopMethod;
use plasmavmc_types::StopReason;

use super::record::Note;

/// Why the last run ended; none where there was none. `reason` is the word behind `shut off`; `boot` the
/// boot the host runs under now.
pub(super) fn decide(reason: &str, note: Option<&Note>, boot: &str) -> Option<StopReason> {
    let note = note?;
    let asked = note.asked;
    Some(match reason {
        "shutdown" if asked.is_some() => StopReason::Requested,
        "shutdown" => StopReason::GuestPoweroff,
        "destroyed" => match asked {
            Some(StopMethod::Kill) => StopReason::Killed,
            Some(StopMethod::Terminate) => StopReason::Terminated,
            // Somebody else ended it.
            Some(StopMethod::Powerdown) | None => StopReason::Vanished,
        },
        "crashed" => StopReason::Vanished,
        "failed" => StopReason::Failed { message: "libvirt could not run it".to_owned() },
        // Its memory is on disk: somebody asked for that.
        "saved" | "migrated" => StopReason::Requested,
        // The daemon was restarted since, and forgot.
        _ if note.boot != boot => StopReason::HostRestarted,
        _ => match asked {
            Some(StopMethod::Kill) => StopReason::Killed,
            Some(StopMethod::Terminate) => StopReason::Terminated,
            Some(StopMethod::Powerdown) => StopReason::Requested,
            None => StopReason::Vanished,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_reason() {
        use StopMethod as M;
        use StopReason as R;
        let failed = R::Failed { message: "libvirt could not run it".to_owned() };
        for (word, asked, boot, expected) in [
            ("shutdown", None, "now", R::GuestPoweroff),
            ("shutdown", Some(M::Powerdown), "now", R::Requested),
            ("destroyed", Some(M::Kill), "now", R::Killed),
            ("destroyed", Some(M::Terminate), "now", R::Terminated),
            ("destroyed", None, "now", R::Vanished),
            ("destroyed", Some(M::Powerdown), "now", R::Vanished),
            ("crashed", Some(M::Kill), "now", R::Vanished),
            ("failed", None, "now", failed),
            ("saved", None, "now", R::Requested),
            ("unknown", None, "before", R::HostRestarted),
            ("unknown", Some(M::Kill), "now", R::Killed),
            ("unknown", Some(M::Powerdown), "now", R::Requested),
            ("unknown", None, "now", R::Vanished),
            ("daemon", Some(M::Terminate), "now", R::Terminated),
        ] {
            let note = Note { boot: boot.to_owned(), asked };
            assert_eq!(decide(word, Some(&note), "now"), Some(expected), "{word} {asked:?} {boot}");
        }
    }

    #[test]
    fn what_never_ran_has_no_reason() {
        assert_eq!(decide("unknown", None, "now"), None);
    }
}
