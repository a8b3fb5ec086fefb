//! Why a VM is stopped, from what its run left behind. Pure.
//!
//! QEMU is no child of whoever asks, so there is no exit status: the journal, the log and the
//! record are the evidence, in this order of weight: what the guest did, what we did, what QEMU
//! said, nothing. Tests: below, one row per case.

use plasmavmc_host::process::BootId;
use plasmavmc_types::StopReason;

use crate::journal::{Journal, ShutdownCause};
use crate::log;
use crate::record::Run;

/// What is left of a run whose process is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// The run; none where its record was lost.
    pub(crate) run: Option<&'a Run>,
    /// The boot the host runs under now.
    pub(crate) boot_id: BootId,
    /// What QEMU reported.
    pub(crate) journal: &'a Journal,
    /// What QEMU said in this run.
    pub(crate) said: &'a str,
}

/// Why the run ended. None where QEMU never got as far as running: there was no run.
pub(crate) fn decide(evidence: Evidence<'_>) -> Option<StopReason> {
    let Evidence { run, boot_id, journal, said } = evidence;
    let killed = run.is_some_and(|run| run.killed);
    let last_complaint = || log::complaints(said).last().map(str::to_owned);
    let reason = match journal.shutdown {
        Some(ShutdownCause::Guest) if journal.powerdown => StopReason::Requested,
        Some(ShutdownCause::Guest) => StopReason::GuestPoweroff,
        Some(ShutdownCause::GuestPanic) => {
            StopReason::Failed { message: "the guest's kernel crashed".to_owned() }
        }
        Some(ShutdownCause::HostError) => {
            let message = last_complaint().unwrap_or_else(|| "QEMU reported a failure of its own".to_owned());
            StopReason::Failed { message }
        }
        _ if killed => StopReason::Killed,
        Some(ShutdownCause::Signal) => StopReason::Terminated,
        Some(ShutdownCause::Quit | ShutdownCause::Other) => StopReason::Requested,
        None if run.is_some_and(|run| run.boot_id != boot_id) => StopReason::HostRestarted,
        None => match last_complaint() {
            Some(message) => StopReason::Failed { message },
            None if said.contains("terminating on signal") => StopReason::Terminated,
            None if journal.begun => StopReason::Vanished,
            None => return None,
        },
    };
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_types::{Accelerator, RunToken, Timestamp};
    use uuid::Uuid;

    const BOOT: BootId = BootId::from_uuid(Uuid::from_u128(1));
    const OTHER_BOOT: BootId = BootId::from_uuid(Uuid::from_u128(2));
    const TERMINATING: &str = "qemu-system-x86_64: terminating on signal 15 from pid 7 (kill)\n";

    fn run(killed: bool) -> Run {
        Run {
            token: RunToken::generate(),
            boot_id: BOOT,
            accelerator: Accelerator::Tcg,
            launched_at: Timestamp::from_unix_millis(0),
            killed,
            console_start: None,
        }
    }

    fn journal(shutdown: Option<ShutdownCause>) -> Journal {
        Journal { begun: true, shutdown, ..Journal::default() }
    }

    #[test]
    fn every_end_has_its_reason() {
        use ShutdownCause as C;
        use StopReason as R;
        let failed = |message: &str| R::Failed { message: message.to_owned() };
        let asked = Journal { powerdown: true, ..journal(Some(C::Guest)) };
        let unborn = Journal::default();
        let cases: [(&Journal, bool, BootId, &str, Option<R>); 15] = [
            (&journal(Some(C::Guest)), false, BOOT, "", Some(R::GuestPoweroff)),
            (&journal(Some(C::Guest)), true, BOOT, "", Some(R::GuestPoweroff)),
            (&journal(Some(C::Guest)), false, OTHER_BOOT, "", Some(R::GuestPoweroff)),
            (&asked, false, BOOT, "", Some(R::Requested)),
            (&journal(Some(C::GuestPanic)), false, BOOT, "", Some(failed("the guest's kernel crashed"))),
            (
                &journal(Some(C::HostError)),
                false,
                BOOT,
                "qemu: disk on fire\n",
                Some(failed("qemu: disk on fire")),
            ),
            (&journal(Some(C::Signal)), false, BOOT, TERMINATING, Some(R::Terminated)),
            (&journal(Some(C::Signal)), true, BOOT, TERMINATING, Some(R::Killed)),
            (&journal(Some(C::Quit)), false, BOOT, "", Some(R::Requested)),
            (&journal(None), true, BOOT, "", Some(R::Killed)),
            (&journal(None), false, BOOT, "", Some(R::Vanished)),
            (&journal(None), false, OTHER_BOOT, "", Some(R::HostRestarted)),
            (&journal(None), false, BOOT, "qemu: assertion failed\n", Some(failed("qemu: assertion failed"))),
            (&unborn, false, BOOT, TERMINATING, Some(R::Terminated)),
            (&unborn, false, BOOT, "", None),
        ];
        for (journal, killed, boot_id, said, expected) in cases {
            let run = run(killed);
            let evidence = Evidence { run: Some(&run), boot_id, journal, said };
            assert_eq!(decide(evidence), expected, "{evidence:?}");
        }
    }

    #[test]
    fn a_run_whose_record_was_lost_still_has_a_reason() {
        let journal = journal(Some(ShutdownCause::Signal));
        let evidence = Evidence { run: None, boot_id: BOOT, journal: &journal, said: "" };
        assert_eq!(decide(evidence), Some(StopReason::Terminated));
    }
}
