//! The answers of `castra up` and `castra up --plan`.

use plasmavmc_engine::{BootstrapDecision, Step};
use plasmavmc_term::text::{count, list};
use plasmavmc_term::{Column, Table};

use super::style::{forwards, header, of_state, path, span};
use crate::cli::face::View;
use crate::core::ready::Phase;
use crate::core::up::{BrokerOnlyOutcome, Change, PlanOutcome, UpOutcome, VmOutcome};

pub(crate) fn up(outcome: &UpOutcome, view: View) -> String {
    let mut text = header(&outcome.project, outcome.workspace.as_str());
    let columns = ["VM", "STATE", "ACCEL", "READY", "FORWARDS"].map(Column::text);
    let mut table = Table::new(columns);
    for vm in &outcome.vms {
        let ready = match vm.change {
            Change::Started => span(vm.ready_ms),
            Change::AlreadyRunning => "was up".to_owned(),
        };
        let accelerator = vm.accelerator.map(|accelerator| accelerator.to_string()).unwrap_or_default();
        let cells = [vm.vm.to_string(), vm.state.to_string(), accelerator, ready, forwards(&vm.forwards)];
        table.styled_row(cells, 1, of_state(vm.state));
    }
    text.push_str(&table.render(view.width));
    for vm in outcome.vms.iter().filter(|vm| !vm.phases.is_empty()) {
        text.push_str(&format!("{}: {}\n", vm.vm, parts(&vm.phases)));
    }
    text.push_str(&summary(&outcome.vms));
    text
}

/// Where the time went, in one line.
pub(super) fn parts(phases: &[Phase]) -> String {
    let parts: Vec<_> =
        phases.iter().map(|it| format!("{} {}", it.phase.as_str(), span(it.took_ms))).collect();
    parts.join(", ")
}

fn summary(vms: &[VmOutcome]) -> String {
    let started = vms.iter().filter(|vm| vm.change == Change::Started).count() as u64;
    let ran = vms.len() as u64 - started;
    let mut parts = Vec::new();
    if started > 0 {
        parts.push(format!("started {}", count(started, "VM", "VMs")));
    }
    if ran > 0 {
        parts.push(format!("{} ran already", count(ran, "VM", "VMs")));
    }
    let login = vms.iter().find(|vm| vm.forwards.iter().any(|forward| forward.guest == 22));
    let hint = match login {
        Some(vm) => format!("\n`castra ssh {0}` leads into `{0}`", vm.vm),
        None => String::new(),
    };
    format!("\n{}{hint}\n", capitalised(&list(&parts)))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

pub(crate) fn broker_only(outcome: &BrokerOnlyOutcome, _: View) -> String {
    let what = if outcome.served { "A broker serves it until `castra down`" } else { "No broker serves it" };
    format!("{}{what}\n", header(&outcome.project, outcome.workspace.as_str()))
}

pub(crate) fn plan(outcome: &PlanOutcome, _: View) -> String {
    let mut text = format!("{}  {}\n", outcome.workspace, path(&outcome.root));
    for vm in &outcome.plan.vms {
        text.push_str(&format!("\n{}\n", vm.vm));
        for (number, step) in (1..).zip(&vm.steps) {
            text.push_str(&format!("  {number}. {}\n", words(step)));
        }
    }
    text.push_str(if outcome.plan.is_empty() {
        "\nNothing to do\n"
    } else {
        "\nNothing was done: `castra up` does it\n"
    });
    text
}

fn words(step: &Step) -> String {
    match step {
        Step::LeaveRunning => "leave it running".to_owned(),
        Step::FetchImage { image } => format!("get image {image} and verify it"),
        Step::DiscardOverlay => "discard the overlay of its last run".to_owned(),
        Step::KeepOverlay => "keep its disk".to_owned(),
        Step::CreateOverlay => "make an empty overlay".to_owned(),
        Step::WriteSeed => "write its cloud-init seed".to_owned(),
        Step::StartVm => "start QEMU".to_owned(),
        Step::AwaitReady => "wait until it is up".to_owned(),
        Step::Bootstrap(BootstrapDecision::Run(reason)) => format!("bootstrap it: {reason}"),
        Step::Bootstrap(BootstrapDecision::Skip(reason)) => format!("not bootstrap it: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_engine::{Plan, VmPlan};
    use plasmavmc_types::{Accelerator, VmSummary};

    use crate::core::ready::PhaseName;

    use super::super::samples::{WIDE, forward, plain};
    use super::*;

    fn vm(name: &str, change: Change) -> VmOutcome {
        VmOutcome {
            vm: name.parse().unwrap(),
            change,
            state: VmSummary::Running,
            pid: Some(42),
            accelerator: Some(Accelerator::Tcg),
            forwards: vec![forward(2222, 22)],
            timeline: Vec::new(),
            phases: match change {
                Change::Started => vec![
                    Phase { phase: PhaseName::Kernel, took_ms: 3_000 },
                    Phase { phase: PhaseName::Ssh, took_ms: 1_200 },
                ],
                Change::AlreadyRunning => Vec::new(),
            },
            ready_ms: if change == Change::Started { 4_200 } else { 0 },
            bootstrap: None,
        }
    }

    fn outcome(vms: Vec<VmOutcome>) -> UpOutcome {
        UpOutcome {
            workspace: "shop-0123456789ab".parse().unwrap(),
            root: "/w".into(),
            project: "shop".to_owned(),
            vms,
        }
    }

    #[test]
    fn what_was_started_and_what_ran_already_are_told_apart() {
        let vms = vec![vm("web", Change::Started), vm("db", Change::AlreadyRunning)];
        insta::assert_snapshot!(plain(&up(&outcome(vms), WIDE)), @r"
        shop  shop-0123456789ab
        VM   STATE    ACCEL  READY   FORWARDS
        web  running  tcg    4.2 s   2222->22
        db   running  tcg    was up  2222->22
        web: kernel 3.0 s, ssh 1.2 s

        Started 1 VM and 1 VM ran already
        `castra ssh web` leads into `web`
        ");
    }

    #[test]
    fn a_vm_nobody_can_log_in_to_gets_no_advice_to() {
        let web = VmOutcome { forwards: Vec::new(), ..vm("web", Change::AlreadyRunning) };
        insta::assert_snapshot!(plain(&up(&outcome(vec![web]), WIDE)), @r"
        shop  shop-0123456789ab
        VM   STATE    ACCEL  READY   FORWARDS
        web  running  tcg    was up  -

        1 VM ran already
        ");
    }

    #[test]
    fn a_plan_says_whether_and_why_a_guest_is_bootstrapped() {
        use plasmavmc_engine::{RunReason, SkipReason};
        for (decision, expected) in [
            (
                BootstrapDecision::Run(RunReason::Changed),
                "bootstrap it: it is not what was done on this disk",
            ),
            (
                BootstrapDecision::Skip(SkipReason::Unchanged),
                "not bootstrap it: unchanged since it was done on this disk",
            ),
        ] {
            assert_eq!(words(&Step::Bootstrap(decision)), expected);
        }
    }

    #[test]
    fn a_plan_is_a_list_of_steps() {
        let steps = vec![
            Step::FetchImage { image: "alpine".to_owned() },
            Step::DiscardOverlay,
            Step::CreateOverlay,
            Step::WriteSeed,
            Step::StartVm,
            Step::AwaitReady,
        ];
        let plan_of = |steps| PlanOutcome {
            workspace: "shop-0123456789ab".parse().unwrap(),
            root: "/w".into(),
            plan: Plan { vms: vec![VmPlan { vm: "web".parse().unwrap(), steps }] },
        };
        insta::assert_snapshot!(plan(&plan_of(steps), WIDE), @r"
        shop-0123456789ab  /w

        web
          1. get image alpine and verify it
          2. discard the overlay of its last run
          3. make an empty overlay
          4. write its cloud-init seed
          5. start QEMU
          6. wait until it is up

        Nothing was done: `castra up` does it
        ");
        insta::assert_snapshot!(plan(&plan_of(vec![Step::LeaveRunning, Step::AwaitReady]), WIDE), @r"
        shop-0123456789ab  /w

        web
          1. leave it running
          2. wait until it is up

        Nothing to do
        ");
    }
}
