//! The answer of `castra bootstrap`, and the words of a bootstrap in others.

use plasmavmc_engine::BootstrapDecision;
use plasmavmc_term::text::count;
use plasmavmc_term::{Column, Table};

use super::style::{header, path, span};
use plasmavmc_cli::Detail;

use crate::cli::face::View;
use crate::core::bootstrap::{BootstrapOutcome, BootstrapsOutcome, Transport};

pub(crate) fn bootstrap(outcome: &BootstrapsOutcome, view: View) -> String {
    let mut text = header(&outcome.project, outcome.workspace.as_str());
    let mut table = Table::new(["VM", "BOOTSTRAP", "TOOK", "DIGEST"].map(Column::text));
    for vm in &outcome.vms {
        table.row([
            vm.vm.to_string(),
            word(vm).to_owned(),
            span(vm.total_ms()),
            vm.digest.short().to_owned(),
        ]);
    }
    text.push_str(&table.render(view.width));
    if view.detail == Detail::Full {
        for vm in &outcome.vms {
            if let Some(log) = &vm.log {
                text.push_str(&format!("\n{}  {}", vm.vm, path(log)));
            }
        }
        text.push('\n');
    }
    let done = outcome.vms.len() as u64;
    text.push_str(&format!("\nSet up {}\n", count(done, "VM", "VMs")));
    text
}

/// What became of a bootstrap, in a word.
pub(super) fn word(outcome: &BootstrapOutcome) -> &'static str {
    match (outcome.decision, outcome.transport) {
        (BootstrapDecision::Run(_), Transport::Channel) => "done",
        (BootstrapDecision::Run(_), Transport::Ssh) => "done over ssh",
        (BootstrapDecision::Skip(_), _) => "unchanged",
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_engine::RunReason;
    use plasmavmc_types::{BootstrapDigest, BootstrapStep, StepStatus};

    use super::super::samples::{FULL, WIDE, plain};
    use super::*;
    use crate::core::bootstrap::StepOutcome;

    fn outcome() -> BootstrapsOutcome {
        let step =
            |step, duration_ms| StepOutcome { step, status: StepStatus::Ok, duration_ms, exit_code: None };
        let vm = BootstrapOutcome {
            vm: "web".parse().unwrap(),
            decision: BootstrapDecision::Run(RunReason::Always),
            transport: Transport::Channel,
            digest: BootstrapDigest::from_bytes([0xab; 32]),
            steps: vec![step(BootstrapStep::Transfer, 200), step(BootstrapStep::Apply, 2_000)],
            log: Some("/w/logs/bootstrap/web-20261125T120000.000Z.jsonl".into()),
        };
        BootstrapsOutcome {
            workspace: "shop-0123456789ab".parse().unwrap(),
            root: "/w".into(),
            project: "shop".to_owned(),
            vms: vec![vm],
        }
    }

    #[test]
    fn what_was_set_up_is_a_row_each() {
        insta::assert_snapshot!(plain(&bootstrap(&outcome(), WIDE)), @r"
        shop  shop-0123456789ab
        VM   BOOTSTRAP  TOOK   DIGEST
        web  done       2.2 s  abababababab

        Set up 1 VM
        ");
    }

    #[test]
    fn whoever_wants_more_is_told_where_the_logs_are() {
        let text = plain(&bootstrap(&outcome(), FULL));
        assert!(text.contains("web  /w/logs/bootstrap/web-20261125T120000.000Z.jsonl"), "{text}");
    }
}
