//! The answer of `castra down`.

use plasmavmc_term::text::count;
use plasmavmc_types::ShutdownOutcome;

use super::style::{header, size};
use crate::cli::face::View;
use crate::core::down::{DownOutcome, VmDown};

pub(crate) fn down(outcome: &DownOutcome, _: View) -> String {
    let mut text = String::new();
    for workspace in outcome.workspaces.iter().filter(|workspace| !workspace.vms.is_empty()) {
        text.push_str(&header(&workspace.project, workspace.id.as_str()));
        let width = workspace.vms.iter().map(|vm| vm.vm.as_str().len()).max().unwrap_or(0);
        for vm in &workspace.vms {
            text.push_str(&format!("  {:width$}  {}\n", vm.vm, how(vm)));
        }
        text.push('\n');
    }
    let vms: Vec<&VmDown> = outcome.workspaces.iter().flat_map(|workspace| &workspace.vms).collect();
    let stopped = vms.iter().filter(|vm| vm.outcome != ShutdownOutcome::AlreadyStopped).count() as u64;
    let reclaimed: u64 = vms.iter().map(|vm| vm.reclaimed_bytes).sum();
    text.push_str(&match stopped {
        0 => "No VM was running".to_owned(),
        _ => format!("Stopped {}", count(stopped, "VM", "VMs")),
    });
    text.push_str(&format!(", {} reclaimed\n", size(reclaimed)));
    text
}

fn how(vm: &VmDown) -> String {
    let how = match vm.outcome {
        ShutdownOutcome::Graceful => "the guest powered off",
        ShutdownOutcome::Terminated => "ended with SIGTERM",
        ShutdownOutcome::Killed => "ended with SIGKILL",
        ShutdownOutcome::AlreadyStopped => "was stopped",
        ShutdownOutcome::StillRunning => "still runs",
    };
    match vm.reclaimed_bytes {
        0 => how.to_owned(),
        bytes => format!("{how}, overlay discarded ({})", size(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{WIDE, plain};
    use super::*;
    use crate::core::down::WorkspaceDown;

    fn vm(name: &str, outcome: ShutdownOutcome, reclaimed_bytes: u64) -> VmDown {
        VmDown { vm: name.parse().unwrap(), outcome, stop_reason: None, reclaimed_bytes }
    }

    fn outcome(vms: Vec<VmDown>) -> DownOutcome {
        let id = "shop-0123456789ab".parse().unwrap();
        let (project, root) = ("shop".to_owned(), "/w/shop".into());
        DownOutcome { workspaces: vec![WorkspaceDown { id, project, root, vms }] }
    }

    #[test]
    fn each_vm_is_told_how_it_ended_and_what_was_reclaimed() {
        let vms = vec![
            vm("web", ShutdownOutcome::Graceful, 5 << 20),
            vm("db-0", ShutdownOutcome::Killed, 1 << 30),
            vm("cache", ShutdownOutcome::AlreadyStopped, 0),
        ];
        insta::assert_snapshot!(plain(&down(&outcome(vms), WIDE)), @r"
        shop  shop-0123456789ab
          web    the guest powered off, overlay discarded (5 MiB)
          db-0   ended with SIGKILL, overlay discarded (1 GiB)
          cache  was stopped

        Stopped 2 VMs, 1.0 GiB reclaimed
        ");
    }

    #[test]
    fn nothing_to_stop_is_said_so() {
        insta::assert_snapshot!(plain(&down(&outcome(Vec::new()), WIDE)), @"No VM was running, 0 B reclaimed");
    }
}
