//! The answer of `bkt vm sync` and `bkt vm plan`: each field that differs, what becomes of it, and when.

use plasmavmc_term::{Column, Table, Width};

use super::style::{BAD, BUSY, DIM, GOOD, header, value};
use crate::cli::outcomes::{Fate, SyncOutcome};
use crate::vm::plan::{Action, Blueprint, Change, Decision, DiskStep, Entry, Refusal};
use crate::vm::{Field, Forecast};

pub(crate) fn sync(outcome: &SyncOutcome, width: Width) -> String {
    let mut text = header(&outcome.plan.uri, outcome.manifest.as_deref());
    let mut table = Table::new(["VM", "DOES", "FIELD", "NOW", "WANTED", "TAKES EFFECT"].map(Column::text));
    let mut is_empty = true;
    for entry in &outcome.plan.vms {
        for row in rows(entry, outcome.fate(entry)) {
            is_empty = false;
            table.styled_row(row.cells, 1, row.style);
        }
    }
    if !is_empty {
        text.push_str(&table.render(width));
    }
    for entry in &outcome.plan.vms {
        text.push_str(&remarks(entry));
    }
    text.push_str(&last_line(outcome));
    text
}

/// One line of the table.
struct Row {
    cells: [String; 6],
    style: anstyle::Style,
}

fn rows(entry: &Entry, fate: Fate) -> Vec<Row> {
    let (word, style) = word(&entry.action, fate);
    let row = |word: &str, style, field: &str, now: String, wanted: String, effect: String| Row {
        cells: [entry.name.clone(), word.to_owned(), field.to_owned(), now, wanted, effect],
        style,
    };
    let mut rows = Vec::new();
    if let Action::Create { blueprint } = &entry.action {
        let mut made = made_of(blueprint);
        if matches!(entry.disk, Some(DiskStep::Take { .. })) {
            // It has the size it has.
            made.retain(|(field, _)| *field != Field::DiskSizeGb);
        }
        rows.extend(made.into_iter().map(|(field, wanted)| {
            row(word, style, field.as_str(), String::new(), wanted, "when it is made".to_owned())
        }));
    }
    for change in &entry.changes {
        let (word, style) = decided(change, word, style);
        let now = value(change.field, change.from.as_ref());
        let wanted = value(change.field, Some(&change.to));
        let effect = effect(change, &entry.action);
        rows.push(row(word, style, change.field.as_str(), now, wanted, effect));
    }
    match &entry.disk {
        Some(DiskStep::Create { size_gb, .. }) => {
            let wanted = value(Field::DiskSizeGb, Some(&(*size_gb).into()));
            rows.push(row(word, style, "disk", "no file".to_owned(), wanted, "at once".to_owned()));
        }
        Some(DiskStep::Take { path, format, size_bytes }) => {
            let now = format!("{format}, {}", super::style::size(*size_bytes));
            let wanted = path.display().to_string();
            rows.push(row(word, style, "disk", now, wanted, "takes the existing file".to_owned()));
        }
        Some(DiskStep::Grow { from_bytes, size_gb, .. }) => {
            let wanted = value(Field::DiskSizeGb, Some(&(*size_gb).into()));
            rows.push(row(
                word,
                style,
                "disk",
                super::style::size(*from_bytes),
                wanted,
                "at once".to_owned(),
            ));
        }
        None => {}
    }
    if rows.is_empty() && !matches!(entry.action, Action::Keep) {
        let effect = match &entry.action {
            Action::Refuse { refusal } => refusal.to_string(),
            Action::Prune => "its disks, NVRAM and TPM state stay".to_owned(),
            Action::Release => "it was adopted: the VM stays as it is".to_owned(),
            Action::Adopt => "it is as the manifest has it, and is noted as ours".to_owned(),
            _ => "only what is noted in it".to_owned(),
        };
        rows.push(row(word, style, "", String::new(), String::new(), effect));
    } else if let Action::Refuse { refusal } = &entry.action {
        rows.insert(0, row(word, style, "", String::new(), String::new(), refusal.to_string()));
    }
    rows
}

const fn word(action: &Action, fate: Fate) -> (&'static str, anstyle::Style) {
    match (fate, action) {
        (Fate::Failed, _) => ("failed", BAD),
        (Fate::DoneBefore, _) => ("was done", DIM),
        (Fate::Planned | Fate::Done, action) => word_of(action),
    }
}

const fn word_of(action: &Action) -> (&'static str, anstyle::Style) {
    match action {
        Action::Keep => ("keep", DIM),
        Action::Create { .. } => ("create", GOOD),
        Action::Adopt => ("adopt", GOOD),
        Action::Update => ("update", GOOD),
        Action::Prune => ("undefine", BUSY),
        Action::Release => ("release", BUSY),
        Action::Refuse { .. } => ("nothing", BAD),
    }
}

/// What a new VM is made of.
fn made_of(blueprint: &Blueprint) -> Vec<(Field, String)> {
    blueprint.values.iter().map(|(field, wanted)| (*field, value(*field, Some(wanted)))).collect()
}

/// What is done about a field, where it is not what is done to its VM.
const fn decided<'w>(change: &Change, word: &'w str, style: anstyle::Style) -> (&'w str, anstyle::Style) {
    match change.decision {
        Decision::Make => (word, style),
        Decision::Leave => ("leave", BUSY),
        Decision::Blocked => ("blocked", BAD),
        Decision::TakeTheirs => ("take", GOOD),
    }
}

fn effect(change: &Change, action: &Action) -> String {
    use Refusal::{MarkedAs, NotOurs, OtherManifest};
    match (change.decision, &change.forecast) {
        (Decision::Make, forecast) => match action {
            Action::Refuse { refusal: NotOurs | MarkedAs { .. } | OtherManifest { .. } } => {
                format!("with --adopt: {forecast}")
            }
            Action::Refuse { .. } => "not while that stands against it".to_owned(),
            _ => forecast.to_string(),
        },
        (Decision::TakeTheirs, _) => "the manifest takes what it is now".to_owned(),
        (Decision::Leave, _) => change.drift.to_string(),
        (Decision::Blocked, Forecast::Blocked { reason, danger: Some(danger) }) => {
            format!("{reason}; {} allows it", danger.flag())
        }
        (Decision::Blocked, Forecast::Blocked { reason, danger: None }) => reason.to_string(),
        (Decision::Blocked, forecast) => forecast.to_string(),
    }
}

/// What a table has no column for.
fn remarks(entry: &Entry) -> String {
    let mut text = String::new();
    for note in &entry.notes {
        text.push_str(&format!("{}: {}\n", entry.name, printable(&note.line(&entry.name))));
    }
    if !entry.pending.is_empty() {
        let fields = super::style::listed(&entry.pending);
        text.push_str(&format!(
            "{}: runs with other values of {fields} until its next cold boot\n",
            entry.name
        ));
    }
    if let Action::Refuse { refusal } = &entry.action {
        text.push_str(&format!("{}: {}\n", entry.name, printable(&refusal.hint(&entry.name))));
    }
    if entry.changes.iter().any(|change| change.decision == Decision::Leave) {
        text.push_str(&format!(
            "{}: --keep-mine overwrites what was edited by hand, --take-theirs FIELD writes it into the manifest\n",
            entry.name
        ));
    }
    text
}

fn printable(text: &str) -> String {
    plasmavmc_term::text::printable(text).into_owned()
}

/// What it comes to.
fn last_line(outcome: &SyncOutcome) -> String {
    let plan = &outcome.plan;
    let fates = |fate| plan.vms.iter().filter(|entry| outcome.fate(entry) == fate).count();
    let is_counted = |entry: &&Entry| matches!(outcome.fate(entry), Fate::Planned | Fate::Done);
    let counted = |what: fn(&Action) -> bool| {
        plan.vms.iter().filter(is_counted).filter(|entry| what(&entry.action)).count()
    };
    let parts: Vec<String> = [
        (counted(|action| matches!(action, Action::Create { .. })), "create"),
        (counted(|action| matches!(action, Action::Adopt)), "adopt"),
        (counted(|action| matches!(action, Action::Update)), "update"),
        (counted(|action| matches!(action, Action::Prune)), "undefine"),
        (counted(|action| matches!(action, Action::Release)), "release"),
        (fates(Fate::Failed), "failed"),
        (fates(Fate::DoneBefore), "was done by another run"),
        (plan.vms.iter().filter(|entry| entry.leaves_something()).count(), "to decide"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let taken = if outcome.taken { "; the manifest took what was edited by hand" } else { "" };
    let waiting = match plan.vms.iter().filter(|entry| entry.waits()).count() {
        0 => String::new(),
        count => format!("; waiting for a cold boot: {count}"),
    };
    match (parts.is_empty(), outcome.dry_run) {
        (true, _) if waiting.is_empty() => "Every VM is as the manifest has it\n".to_owned(),
        (true, _) => format!("Nothing to do{waiting}\n"),
        (false, true) => format!("Would do: {}; nothing was changed\n", parts.join(", ")),
        (false, false) => format!("Done: {}{taken}{waiting}\n", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{change, entry, plain, planned};
    use super::*;
    use crate::cli::outcomes::{DoneVm, FailedVm};
    use crate::vm::plan::VmPlan;

    #[test]
    fn each_field_tells_what_becomes_of_it_and_when() {
        let outcome = SyncOutcome::new(Some("/src/manifests/vms.json".into()), planned(), Vec::new());
        insta::assert_snapshot!(plain(&sync(&outcome.dry(), Width::Unlimited)));
    }

    #[test]
    fn a_disk_that_is_there_is_shown_as_it_is_and_not_as_it_is_wanted() {
        let mut plan = planned();
        plan.vms.retain(|entry| entry.name == "new");
        let (path, format) = ("/d/new.qcow2".into(), plasmavmc_types::DiskFormat::Qcow2);
        plan.vms[0].disk = Some(DiskStep::Take { path, format, size_bytes: 15 << 30 });
        let Action::Create { blueprint } = &mut plan.vms[0].action else { panic!("{plan:?}") };
        blueprint.values.insert(Field::DiskSizeGb, 20.into());
        let shown = plain(&sync(&SyncOutcome::new(None, plan, Vec::new()).dry(), Width::Unlimited));
        assert!(!shown.contains("20 GiB"), "{shown}");
        let disk = shown.lines().find(|line| line.contains("takes the existing file")).unwrap();
        let words: Vec<&str> = disk.split_whitespace().collect();
        assert_eq!(words[..7], ["new", "create", "disk", "qcow2,", "15", "GiB", "/d/new.qcow2"], "{shown}");
    }

    #[test]
    fn what_this_run_did_is_told_and_counted_vm_by_vm() {
        let made = |name: &str| {
            let grow = change(Field::Memory, 1.into(), 2.into(), Decision::Make, Forecast::NextStart);
            entry(name, Action::Update, vec![grow])
        };
        let mut plan = planned();
        plan.vms = vec![made("a"), made("b"), made("c"), made("d")];
        let done = |vm: &str| DoneVm { vm: vm.to_owned(), steps: Vec::new(), warnings: Vec::new() };
        let failed = FailedVm { vm: "b".to_owned(), error: "it is gone".to_owned() };
        let outcome = SyncOutcome::new(None, plan, Vec::new()).done(vec![done("a"), done("c")], vec![failed]);
        assert!(!outcome.clean);
        insta::assert_snapshot!(plain(&sync(&outcome, Width::Unlimited)), @r"
        qemu:///system
        VM  DOES      FIELD   NOW    WANTED  TAKES EFFECT
        a   update    memory  1 MiB  2 MiB   at its next start
        b   failed    memory  1 MiB  2 MiB   at its next start
        c   update    memory  1 MiB  2 MiB   at its next start
        d   was done  memory  1 MiB  2 MiB   at its next start
        Done: 2 update, 1 failed, 1 was done by another run
        ");
    }

    #[test]
    fn what_waits_for_a_cold_boot_is_not_called_as_the_manifest_has_it() {
        let mut plan = planned();
        let id = plasmavmc_types::VmId::generate();
        let keep = entry("a", Action::Keep, Vec::new());
        plan.vms = vec![Entry { id: Some(id), pending: vec![Field::Memory], ..keep }];
        let last = |plan: &VmPlan| {
            let outcome = SyncOutcome::new(None, plan.clone(), Vec::new()).dry();
            let text = plain(&sync(&outcome, Width::Unlimited));
            (outcome.clean, text.lines().last().unwrap_or_default().to_owned())
        };
        let waits = "Nothing to do; waiting for a cold boot: 1".to_owned();
        assert_eq!(last(&plan), (false, waits));
        plan.is_off(id);
        assert_eq!(last(&plan), (true, "Every VM is as the manifest has it".to_owned()));
    }

    #[test]
    fn what_is_not_done_to_a_stranger_is_not_told_as_if_it_were() {
        let grow = change(Field::Memory, 1.into(), 2.into(), Decision::Make, Forecast::NextStart);
        let of = |refusal| entry("a", Action::Refuse { refusal }, vec![grow.clone()]);
        let told = |refusal| rows(&of(refusal), Fate::Planned)[1].cells[5].clone();
        assert_eq!(told(Refusal::NotOurs), "with --adopt: at its next start");
        assert_eq!(told(Refusal::Transient), "not while that stands against it");
    }

    #[test]
    fn a_host_that_is_as_declared_is_told_in_one_line() {
        let mut plan = planned();
        plan.vms.clear();
        let outcome = SyncOutcome::new(None, plan, Vec::new()).dry();
        assert!(outcome.clean);
        insta::assert_snapshot!(plain(&sync(&outcome, Width::Unlimited)), @r"
        qemu:///system
        Every VM is as the manifest has it
        ");
    }
}
