//! The answer of `castra clean`.

use plasmavmc_term::text::count;
use plasmavmc_term::{Column, Table};
use plasmavmc_types::CleanupKind;

use super::style::{path, size};
use crate::cli::face::View;
use crate::core::clean::CleanOutcome;

pub(crate) fn clean(outcome: &CleanOutcome, view: View) -> String {
    let is_nothing = outcome.items.is_empty() && outcome.workspaces.iter().all(|it| !it.forgotten);
    if is_nothing {
        return "Nothing to remove\n".to_owned();
    }
    let mut text = String::new();
    if outcome.dry_run {
        let mut table = Table::new([Column::text("KIND"), Column::number("SIZE"), Column::text("PATH")]);
        for item in &outcome.items {
            table.row([name(item.kind).0.to_owned(), size(item.bytes), path(&item.path)]);
        }
        text.push_str(&table.render(view.width));
        text.push('\n');
    }
    for total in &outcome.totals {
        let (one, many) = name(total.kind);
        text.push_str(&format!("  {}, {}\n", count(total.count, one, many), size(total.bytes)));
    }
    let verb = if outcome.dry_run { "would be reclaimed: nothing was removed" } else { "reclaimed" };
    text.push_str(&format!("{} {verb}\n", size(outcome.reclaimed_bytes)));
    for workspace in outcome.workspaces.iter().filter(|workspace| !workspace.live.is_empty()) {
        let names: Vec<_> = workspace.live.iter().map(|vm| format!("`{vm}`")).collect();
        text.push_str(&format!("{} of {} spared\n", names.join(", "), workspace.id));
    }
    text
}

const fn name(kind: CleanupKind) -> (&'static str, &'static str) {
    match kind {
        CleanupKind::Image => ("image file", "image files"),
        CleanupKind::Overlay => ("overlay", "overlays"),
        CleanupKind::Log => ("log", "logs"),
        CleanupKind::Runtime => ("runtime file", "runtime files"),
        CleanupKind::Partial => ("unfinished file", "unfinished files"),
        CleanupKind::Legacy => ("file of an older version", "files of an older version"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{WIDE, plain};
    use super::*;
    use crate::core::clean::{CleanItem, CleanTotal, WorkspaceClean};

    fn sample(dry_run: bool) -> CleanOutcome {
        let item = |path: &str, kind, bytes| CleanItem { path: path.into(), kind, bytes };
        CleanOutcome {
            dry_run,
            workspaces: vec![WorkspaceClean {
                id: "shop-0123456789ab".to_owned(),
                root: "/w".into(),
                forgotten: false,
                live: vec!["web".parse().unwrap()],
            }],
            items: vec![
                item("/w/overlays/db.qcow2", CleanupKind::Overlay, 5 << 20),
                item("/w/logs/db.log", CleanupKind::Log, 4096),
                item("/w/logs/db-serial.log", CleanupKind::Log, 8192),
            ],
            totals: vec![
                CleanTotal { kind: CleanupKind::Overlay, count: 1, bytes: 5 << 20 },
                CleanTotal { kind: CleanupKind::Log, count: 2, bytes: 12288 },
            ],
            reclaimed_bytes: (5 << 20) + 12288,
        }
    }

    #[test]
    fn a_dry_run_lists_every_file_and_says_that_it_is_still_there() {
        insta::assert_snapshot!(plain(&clean(&sample(true), WIDE)), @r"
        KIND      SIZE  PATH
        overlay  5 MiB  /w/overlays/db.qcow2
        log      4 KiB  /w/logs/db.log
        log      8 KiB  /w/logs/db-serial.log

          1 overlay, 5 MiB
          2 logs, 12 KiB
        5.0 MiB would be reclaimed: nothing was removed
        `web` of shop-0123456789ab spared
        ");
    }

    #[test]
    fn a_real_run_sums_up() {
        insta::assert_snapshot!(plain(&clean(&sample(false), WIDE)), @r"
          1 overlay, 5 MiB
          2 logs, 12 KiB
        5.0 MiB reclaimed
        `web` of shop-0123456789ab spared
        ");
    }
}
