//! Events as lines of a timeline: when, which VM, what.
//!
//! Time runs from the first event. Pure: time comes with the events. Tests: below, as snapshots.

use std::collections::BTreeMap;

use anstyle::Style;
use plasmavmc_types::{ByteSize, Event, EventKind, ShutdownOutcome, Timestamp};

use crate::screen::{style, styled};
use crate::sentence;
use crate::text::{duration, printable};

/// The lines of one command.
pub(super) struct Lines {
    start: Option<Timestamp>,
    name_width: usize,
    /// The last quarter told of each image's download, 0 to 4.
    quarters: BTreeMap<String, u64>,
}

impl Lines {
    /// Lines whose VM names take `name_width` columns.
    pub(super) fn new(name_width: usize) -> Self {
        Self { start: None, name_width, quarters: BTreeMap::new() }
    }

    /// The line of an event; none for those that only move a bar.
    pub(super) fn line(&mut self, event: &Event) -> Option<String> {
        let start = *self.start.get_or_insert(event.at);
        let text = sentence(&event.kind)?;
        Some(self.layout(event, start, tone(&event.kind), &printable(&text)))
    }

    /// The line of a download that passed a quarter: what is written where no bar can move.
    pub(super) fn milestone(&mut self, event: &Event) -> Option<String> {
        let EventKind::ImageDownloadProgress { image, done_bytes, total_bytes: Some(total) } = &event.kind
        else {
            return None;
        };
        let quarter = done_bytes.saturating_mul(4) / (*total).max(1);
        let told = self.quarters.entry(image.clone()).or_insert(0);
        if quarter <= *told || quarter >= 4 {
            return None;
        }
        *told = quarter;
        let (done, total) = (ByteSize::bytes(*done_bytes), ByteSize::bytes(*total));
        let text = format!("image {image}: {done} of {total} ({} %)", quarter * 25);
        let start = *self.start.get_or_insert(event.at);
        Some(self.layout(event, start, Style::new(), &printable(&text)))
    }

    fn layout(&self, event: &Event, start: Timestamp, tone: Style, text: &str) -> String {
        let time = styled(style::DIM, &format!("{:>8}", duration(event.at.since(start))));
        let width = self.name_width;
        let indent = 8 + 2 + if width > 0 { width + 2 } else { 0 };
        let text = text.trim_end().replace('\n', &format!("\n{:indent$}", ""));
        let name = match &event.vm {
            _ if width == 0 => String::new(),
            Some(vm) => format!("{}  ", styled(style::BOLD, &format!("{vm:width$}"))),
            None => format!("{:width$}  ", ""),
        };
        format!("{time}  {name}{}", styled(tone, &text))
    }
}

/// How an event is coloured: good and bad ends stand out.
fn tone(event: &EventKind) -> Style {
    use EventKind as E;
    match event {
        E::VmReady { .. } => style::GOOD,
        E::ShutdownComplete { outcome: ShutdownOutcome::StillRunning, .. } => style::ERROR,
        E::ShutdownComplete { outcome: ShutdownOutcome::Graceful, .. } => style::GOOD,
        E::AcceleratorFellBack { .. }
        | E::ImageDownloadRetried { .. }
        | E::CooperativeUnavailable { .. }
        | E::CooperativeTimedOut { .. }
        | E::Escalation { .. } => style::WARNING,
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::plain;
    use plasmavmc_types::{Accelerator, Escalation, Stage};

    fn events(kinds: Vec<(u64, Option<&str>, EventKind)>) -> Vec<Event> {
        let event = |(at, vm, kind): (u64, Option<&str>, EventKind)| Event {
            seq: 1,
            at: Timestamp::from_unix_millis(1_000_000 + at),
            vm: vm.map(|vm| vm.parse().unwrap()),
            kind,
        };
        kinds.into_iter().map(event).collect()
    }

    #[test]
    fn a_start_and_a_stop_read_as_a_timeline() {
        let mut lines = Lines::new(4);
        let text: Vec<_> = events(vec![
            (0, None, EventKind::WorkspacePrepared { root: "/w".into() }),
            (
                12,
                Some("web"),
                EventKind::OverlayPrepared { path: "/w/o".into(), base: "/b".into(), created: true },
            ),
            (
                40,
                Some("web"),
                EventKind::VmLaunched { pid: 42, accelerator: Accelerator::Tcg, log: "/l".into() },
            ),
            (1_300, Some("db-0"), EventKind::StageReached { stage: Stage::Machine, elapsed_ms: 900 }),
            (65_000, Some("web"), EventKind::VmReady { elapsed_ms: 64_960 }),
            (66_000, Some("web"), EventKind::CooperativeUnavailable { reason: "no answer\nat all".into() }),
            (67_000, Some("web"), EventKind::Escalation { signal: Escalation::Sigterm, timeout_ms: 10_000 }),
        ])
        .iter()
        .filter_map(|event| lines.line(event))
        .map(|line| plain(&line))
        .collect();
        insta::assert_snapshot!(text.join("\n"), @r"
          0 ms        workspace /w
         12 ms  web   overlay /w/o
         40 ms  web   QEMU launched (pid 42, tcg)
         1.3 s  db-0  machine runs
        1m 05s  web   up after 1m 04s
        1m 06s  web   guest could not be asked to power off: no answer
                      at all
        1m 07s  web   SIGTERM sent to QEMU, it has 10 s
        ");
    }

    #[test]
    fn a_download_is_told_by_its_quarters_and_no_more() {
        let mut lines = Lines::new(0);
        let progress = |done_bytes| EventKind::ImageDownloadProgress {
            image: "alpine".into(),
            done_bytes,
            total_bytes: Some(1 << 30),
        };
        let kinds = (0..=64_u64).map(|step| (step * 100, None, progress(step << 24))).collect();
        let text: Vec<_> = events(kinds).iter().filter_map(|event| lines.milestone(event)).collect();
        insta::assert_snapshot!(plain(&text.join("\n")), @r"
         0 ms  image alpine: 256 MiB of 1 GiB (25 %)
        1.6 s  image alpine: 512 MiB of 1 GiB (50 %)
        3.2 s  image alpine: 768 MiB of 1 GiB (75 %)
        ");
        assert!(lines.line(&events(vec![(0, None, progress(5))])[0]).is_none());
    }
}
