//! The answer of `castra status`: one table per workspace, and what its words mean.

use plasmavmc_term::{Column, Table};
use plasmavmc_types::VmSummary;

use super::style::{forwards, header, of_state, path, size, span};
use super::up::parts;
use plasmavmc_cli::Detail;

use crate::cli::face::View;
use crate::core::mounts::{MountRow, MountState};
use crate::core::ready::{Timings, phases};
use crate::core::status::{BrokerState, ChannelFault, StatusOutcome, VmRow, WorkspaceStatus};

const LEGEND: [(VmSummary, &str); 4] = [
    (VmSummary::Stopped, "no process"),
    (VmSummary::Starting, "its guest is not up yet"),
    (VmSummary::Running, "its guest is up"),
    (VmSummary::ShuttingDown, "on its way down"),
];

/// What the words in the column of guest channels mean.
const CHANNEL_LEGEND: &str = "\
offline = no broker runs, waiting = it has not heard of the guest lately
reachable = the guest answered within the freshness window (6 s unless castra.toml says otherwise)
(time) = since its last handshake or answered keepalive; guests are asked every 2 s
";

pub(crate) fn status(outcome: &StatusOutcome, view: View) -> String {
    if outcome.workspaces.is_empty() {
        return "No workspaces yet: `castra init` writes a castra.toml, `castra up` starts its VMs\n"
            .to_owned();
    }
    let mut text = String::new();
    for workspace in &outcome.workspaces {
        let places = outcome.workspaces.iter().filter(|other| other.id == workspace.id).count();
        let place = if places > 1 { Place::OneOfSeveral } else { Place::Only };
        text.push_str(&one_workspace(workspace, place, view));
        text.push('\n');
    }
    if view.detail > Detail::Quiet {
        text.push_str(&legend());
    }
    text
}

/// The same as it would be at any other time, if nothing happened in between.
pub(crate) fn without_time(outcome: &StatusOutcome) -> StatusOutcome {
    let mut timeless = outcome.clone();
    for vm in timeless.workspaces.iter_mut().flat_map(|workspace| &mut workspace.vms) {
        vm.uptime_ms = None;
        vm.last_handshake_age_ms = None;
    }
    timeless
}

/// Whether the id of a workspace tells its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Only,
    /// Its `state_dir` was changed, and the former place is still there.
    OneOfSeveral,
}

fn one_workspace(workspace: &WorkspaceStatus, place: Place, view: View) -> String {
    let mut text = header(&workspace.project, workspace.id.as_str());
    if view.detail == Detail::Full {
        text.push_str(&format!("config {}\n", path(&workspace.config)));
    }
    if view.detail == Detail::Full || place == Place::OneOfSeveral {
        text.push_str(&format!("state  {}\n", path(&workspace.root)));
    }
    let mut columns = vec![
        Column::text("VM"),
        Column::text("STATE"),
        Column::text("BROKER"),
        Column::text("UPTIME"),
        Column::text("ACCEL"),
        Column::number("CPUS"),
        Column::number("MEMORY"),
        Column::text("FORWARDS"),
    ];
    if view.detail == Detail::Full {
        columns.insert(2, Column::number("PID"));
    }
    let mut table = Table::new(columns);
    for vm in &workspace.vms {
        table.styled_row(cells(vm, view.detail), 1, of_state(vm.state));
    }
    text.push_str(&table.render(view.width));
    for vm in &workspace.vms {
        text.push_str(&remarks(vm));
        text.push_str(&mounts(vm, view.detail));
        if let Some(timings) = &vm.timings {
            text.push_str(&last_runs(vm, timings));
        }
    }
    text
}

fn cells(vm: &VmRow, detail: Detail) -> Vec<String> {
    let mut cells = vec![
        vm.vm.to_string(),
        vm.state.to_string(),
        broker(vm),
        vm.uptime_ms.map(span).unwrap_or_default(),
        vm.accelerator.map(|accelerator| accelerator.to_string()).unwrap_or_default(),
        vm.cpus.map(|cpus| cpus.to_string()).unwrap_or_default(),
        vm.memory_bytes.map(size).unwrap_or_default(),
        forwards(&vm.forwards),
    ];
    if detail == Detail::Full {
        cells.insert(2, vm.pid.map(|pid| pid.to_string()).unwrap_or_default());
    }
    cells
}

/// Whether the guest can be spoken to, and how old what is known of it is.
fn broker(vm: &VmRow) -> String {
    let word = match vm.broker {
        BrokerState::Offline => "offline",
        BrokerState::Waiting => "waiting",
        BrokerState::Reachable => "reachable",
    };
    match vm.last_handshake_age_ms {
        Some(age) => format!("{word} ({})", span(age)),
        None => word.to_owned(),
    }
}

/// What a table has no column for.
fn remarks(vm: &VmRow) -> String {
    let mut text = String::new();
    if !vm.responsive {
        text.push_str(&format!("{}: QEMU does not answer; `castra logs {}` may tell why\n", vm.vm, vm.vm));
    }
    match &vm.channel_fault {
        Some(ChannelFault::Declined { reason }) => {
            let reason = plasmavmc_term::text::printable(reason);
            text.push_str(&format!("{}: its agent was declined: {reason}\n", vm.vm));
        }
        Some(ChannelFault::Flooded) => {
            text.push_str(&format!("{}: its guest sends more than it may, and is held back\n", vm.vm));
        }
        None => {}
    }
    if vm.paused {
        text.push_str(&format!("{}: paused, its memory is kept\n", vm.vm));
    }
    if let Some(reason) = &vm.stop_reason {
        text.push_str(&format!("{}: {}\n", vm.vm, plasmavmc_term::text::printable(&reason.to_string())));
    }
    text
}

/// The folders of the host that a guest sees, or should: on one line, or one a line with where they are
/// for who asks.
fn mounts(vm: &VmRow, detail: Detail) -> String {
    let shown = |mount: &MountRow| {
        let access = if mount.read_only { "read-only" } else { "writable" };
        let reason = mount.reason.as_deref().map(plasmavmc_term::text::printable);
        let state = match mount.state {
            MountState::Mounted => String::new(),
            MountState::Pending => ", not mounted yet".to_owned(),
            MountState::Failed => format!(", not mounted: {}", reason.unwrap_or_default()),
        };
        match detail {
            Detail::Full => format!("{} is {} ({access}{state})", mount.guest, path(&mount.host)),
            _ => format!("{} ({access}{state})", mount.guest),
        }
    };
    let shown: Vec<String> = vm.mounts.iter().map(shown).collect();
    match detail {
        _ if shown.is_empty() => String::new(),
        Detail::Full => shown.iter().map(|mount| format!("{}: {mount}\n", vm.vm)).collect(),
        _ => format!("{}: sees {}\n", vm.vm, shown.join(", ")),
    }
}

/// Runs of `--timings` that are shown one by one.
const SHOWN: usize = 5;

/// How long the last runs took, and what the next will take.
fn last_runs(vm: &VmRow, timings: &Timings) -> String {
    let Some(estimate) = timings.estimate else {
        return format!("{}: no run of it came up yet, so nothing can be told of the next\n", vm.vm);
    };
    let range = match estimate.runs {
        1 => "the one run there was".to_owned(),
        runs => format!(
            "{runs} runs like the last took {} to {}",
            span(estimate.fastest_ms),
            span(estimate.slowest_ms)
        ),
    };
    let mut text = format!("{}: the next run takes about {} ({range})\n", vm.vm, span(estimate.ready_ms));
    for run in timings.runs.iter().take(SHOWN) {
        let parts = parts(&phases(&run.stages));
        text.push_str(&format!(
            "  {}  {}  {}: {parts}\n",
            run.launched_at,
            run.accelerator,
            span(run.ready_ms)
        ));
    }
    text
}

/// What the words in the column of states mean.
fn legend() -> String {
    let words = LEGEND.map(|(state, meaning)| format!("{state} = {meaning}"));
    let states: String = words.chunks(2).map(|pair| format!("{}\n", pair.join(", "))).collect();
    states + CHANNEL_LEGEND
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::{Accelerator, StopReason};

    use super::super::samples::{FULL, WIDE, forward, plain};
    use super::*;

    fn vm(name: &str, state: VmSummary) -> VmRow {
        VmRow {
            vm: name.parse().unwrap(),
            state,
            paused: false,
            responsive: true,
            pid: None,
            uptime_ms: None,
            accelerator: None,
            cpus: None,
            memory_bytes: None,
            forwards: Vec::new(),
            mounts: Vec::new(),
            stop_reason: None,
            timings: None,
            broker: BrokerState::Offline,
            reachable: false,
            last_handshake_age_ms: None,
            channel_fault: None,
        }
    }

    fn sample() -> StatusOutcome {
        let web = VmRow {
            pid: Some(4242),
            uptime_ms: Some(185_000),
            accelerator: Some(Accelerator::Tcg),
            cpus: Some(2),
            memory_bytes: Some(2 << 30),
            forwards: vec![forward(2222, 22), forward(8080, 80)],
            broker: BrokerState::Reachable,
            reachable: true,
            last_handshake_age_ms: Some(1_200),
            ..vm("web", VmSummary::Running)
        };
        let db = VmRow { stop_reason: Some(StopReason::Vanished), ..vm("db", VmSummary::Stopped) };
        let reason = "the agent speaks protocol 9".to_owned();
        let hung = VmRow {
            responsive: false,
            broker: BrokerState::Waiting,
            reachable: false,
            last_handshake_age_ms: None,
            channel_fault: Some(ChannelFault::Declined { reason }),
            ..web.clone()
        };
        let workspace = |id: &str, vms| WorkspaceStatus {
            id: id.parse().unwrap(),
            project: "shop".to_owned(),
            root: "/home/me/.castra/projects/shop-0123456789ab".into(),
            config: "/src/shop/castra.toml".into(),
            vms,
        };
        StatusOutcome {
            workspaces: vec![
                workspace("shop-0123456789ab", vec![db, web]),
                workspace("shop-ba9876543210", vec![hung, vm("new", VmSummary::Starting)]),
            ],
        }
    }

    /// What is told, with the legend cut short.
    fn told(outcome: &StatusOutcome, view: View) -> String {
        plain(&status(outcome, view)).replace(&legend(), "(legend)\n")
    }

    #[test]
    fn every_workspace_has_its_table() {
        insta::assert_snapshot!(told(&sample(), WIDE), @r"
        shop  shop-0123456789ab
        VM   STATE    BROKER             UPTIME  ACCEL  CPUS  MEMORY  FORWARDS
        db   stopped  offline            -       -         -       -  -
        web  running  reachable (1.2 s)  3m 05s  tcg       2   2 GiB  2222->22 8080->80
        db: its process vanished: crashed, or killed by something else

        shop  shop-ba9876543210
        VM   STATE     BROKER   UPTIME  ACCEL  CPUS  MEMORY  FORWARDS
        web  running   waiting  3m 05s  tcg       2   2 GiB  2222->22 8080->80
        new  starting  offline  -       -         -       -  -
        web: QEMU does not answer; `castra logs web` may tell why
        web: its agent was declined: the agent speaks protocol 9

        (legend)
        ");
    }

    #[test]
    fn the_words_of_a_table_are_explained_to_all_but_who_wants_quiet() {
        insta::assert_snapshot!(legend(), @r"
        stopped = no process, starting = its guest is not up yet
        running = its guest is up, shutting_down = on its way down
        offline = no broker runs, waiting = it has not heard of the guest lately
        reachable = the guest answered within the freshness window (6 s unless castra.toml says otherwise)
        (time) = since its last handshake or answered keepalive; guests are asked every 2 s
        ");
        let quiet = View { detail: Detail::Quiet, ..WIDE };
        assert!(!told(&sample(), quiet).contains("(legend)"));
    }

    #[test]
    fn the_folders_a_guest_sees_are_told_below_the_table() {
        let mount = |guest: &str, read_only, state, reason: Option<&str>| MountRow {
            host: format!("/src/shop{guest}").into(),
            guest: guest.to_owned(),
            read_only,
            state,
            reason: reason.map(ToOwned::to_owned),
        };
        let mounts = vec![
            mount("/srv/src", true, MountState::Mounted, None),
            mount("/srv/out", false, MountState::Failed, Some("no such\u{1b} device")),
            mount("/srv/new", true, MountState::Pending, None),
        ];
        let mut outcome = sample();
        outcome.workspaces.truncate(1);
        outcome.workspaces[0].vms = vec![VmRow { mounts, ..vm("web", VmSummary::Running) }];
        let told = |view| {
            let text = told(&outcome, view);
            text.lines().filter(|line| line.starts_with("web: ")).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(WIDE), @r"web: sees /srv/src (read-only), /srv/out (writable, not mounted: no such\u{1b} device), /srv/new (read-only, not mounted yet)");
        insta::assert_snapshot!(told(FULL), @r"
        web: /srv/src is /src/shop/srv/src (read-only)
        web: /srv/out is /src/shop/srv/out (writable, not mounted: no such\u{1b} device)
        web: /srv/new is /src/shop/srv/new (read-only, not mounted yet)
        ");
    }

    #[test]
    fn workspaces_of_one_id_are_told_apart_by_their_places() {
        let mut outcome = sample();
        outcome.workspaces[1].id = outcome.workspaces[0].id.clone();
        outcome.workspaces[1].root = "/src/shop/.castra".into();
        let text = plain(&status(&outcome, WIDE));
        let states: Vec<&str> = text.lines().filter(|line| line.starts_with("state ")).collect();
        assert_eq!(
            states,
            ["state  /home/me/.castra/projects/shop-0123456789ab", "state  /src/shop/.castra"]
        );
    }

    #[test]
    fn everything_is_told_to_who_asks() {
        let mut outcome = sample();
        outcome.workspaces.truncate(1);
        insta::assert_snapshot!(told(&outcome, FULL), @r"
        shop  shop-0123456789ab
        config /src/shop/castra.toml
        state  /home/me/.castra/projects/shop-0123456789ab
        VM   STATE     PID  BROKER             UPTIME  ACCEL  CPUS  MEMORY  FORWARDS
        db   stopped     -  offline            -       -         -       -  -
        web  running  4242  reachable (1.2 s)  3m 05s  tcg       2   2 GiB  2222->22 8080->80
        db: its process vanished: crashed, or killed by something else

        (legend)
        ");
    }

    #[test]
    fn a_machine_without_workspaces_says_how_to_begin() {
        insta::assert_snapshot!(status(&StatusOutcome { workspaces: Vec::new() }, WIDE), @"No workspaces yet: `castra init` writes a castra.toml, `castra up` starts its VMs");
    }

    #[test]
    fn only_time_is_left_out_of_what_is_compared() {
        let (mut later, now) = (sample(), sample());
        later.workspaces[0].vms[1].uptime_ms = Some(186_000);
        later.workspaces[0].vms[1].last_handshake_age_ms = Some(200);
        assert_ne!(later, now);
        assert_eq!(without_time(&later), without_time(&now));
        later.workspaces[0].vms[1].state = VmSummary::ShuttingDown;
        assert_ne!(without_time(&later), without_time(&now));
    }
}
