//! What is awaited, as lines that move: a spinner per VM, a bar per download.
//!
//! Only ever drawn on a terminal; the draw target belongs to [`Stderr`](crate::Stderr). Tests: below,
//! over what the lines say; how they move is for the eye.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plasmavmc_types::{Event, EventKind, VmName};

use crate::sentence::waiting_for;

/// Time between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(120);

const SPINNER: &str = "{spinner} {prefix}  {msg}  {elapsed}";
const DOWNLOAD: &str =
    "{spinner} {prefix}  [{bar:24}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
const DOWNLOAD_OF_UNKNOWN_SIZE: &str = "{spinner} {prefix}  {binary_bytes}  {binary_bytes_per_sec}";

/// The moving lines of one command.
pub(super) struct Bars {
    all: MultiProgress,
    name_width: usize,
    vms: BTreeMap<Option<VmName>, ProgressBar>,
    downloads: BTreeMap<String, ProgressBar>,
}

impl Bars {
    /// Lines drawn through `all`, whose VM names take `name_width` columns.
    pub(super) fn new(all: MultiProgress, name_width: usize) -> Self {
        Self { all, name_width, vms: BTreeMap::new(), downloads: BTreeMap::new() }
    }

    /// Moves what an event moves.
    pub(super) fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::ImageDownloadStarted { image, resumed_bytes, total_bytes, .. } => {
                self.download_started(image, *resumed_bytes, *total_bytes);
            }
            EventKind::ImageDownloadProgress { image, done_bytes, .. } => {
                if let Some(bar) = self.downloads.get(image) {
                    bar.set_position(*done_bytes);
                }
            }
            EventKind::ImageVerified { image, .. } | EventKind::ImageDownloadRetried { image, .. } => {
                if let Some(bar) = self.downloads.remove(image) {
                    bar.finish_and_clear();
                }
            }
            kind => self.awaits(event.vm.as_ref(), waiting_for(kind)),
        }
    }

    /// Takes every moving line away.
    pub(super) fn clear(&mut self) {
        for bar in self.vms.values().chain(self.downloads.values()) {
            bar.finish_and_clear();
        }
        self.vms.clear();
        self.downloads.clear();
    }

    fn download_started(&mut self, image: &str, resumed: u64, total: Option<u64>) {
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), DOWNLOAD),
            None => (ProgressBar::no_length(), DOWNLOAD_OF_UNKNOWN_SIZE),
        };
        let bar = self.add(bar, template, image.to_owned());
        // Rate and time left count from here: bytes of an earlier try cost no time now.
        bar.set_position(resumed);
        bar.reset_eta();
        if let Some(old) = self.downloads.insert(image.to_owned(), bar) {
            old.finish_and_clear();
        }
    }

    fn awaits(&mut self, vm: Option<&VmName>, what: Option<&'static str>) {
        let key = vm.cloned();
        let Some(what) = what else {
            if let Some(bar) = self.vms.remove(&key) {
                bar.finish_and_clear();
            }
            return;
        };
        if !self.vms.contains_key(&key) {
            let width = self.name_width;
            let name = key.as_ref().map(ToString::to_string).unwrap_or_default();
            let bar = self.add(ProgressBar::new_spinner(), SPINNER, format!("{name:width$}"));
            self.vms.insert(key.clone(), bar);
        }
        if let Some(bar) = self.vms.get(&key) {
            bar.set_message(what);
        }
    }

    fn add(&self, bar: ProgressBar, template: &str, prefix: String) -> ProgressBar {
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.all.add(bar.with_style(style).with_prefix(prefix));
        bar.enable_steady_tick(TICK);
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;
    use plasmavmc_types::{Accelerator, Timestamp};

    fn bars() -> Bars {
        Bars::new(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), 3)
    }

    fn event(vm: Option<&str>, kind: EventKind) -> Event {
        let vm = vm.map(|vm| vm.parse().unwrap());
        Event { seq: 1, at: Timestamp::from_unix_millis(0), vm, kind }
    }

    #[test]
    fn every_template_is_one() {
        for template in [SPINNER, DOWNLOAD, DOWNLOAD_OF_UNKNOWN_SIZE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_vm_spins_from_its_launch_until_it_is_up() {
        let mut bars = bars();
        let launched = EventKind::VmLaunched { pid: 42, accelerator: Accelerator::Tcg, log: "/l".into() };
        bars.event(&event(Some("web"), launched));
        let messages: Vec<_> = bars.vms.values().map(ProgressBar::message).collect();
        assert_eq!(messages, ["waiting for the machine"]);
        bars.event(&event(Some("web"), EventKind::VmReady { elapsed_ms: 1 }));
        assert!(bars.vms.is_empty());
    }

    #[test]
    fn a_resumed_download_begins_where_it_was_and_ends_verified() {
        let mut bars = bars();
        let image = || "alpine".to_owned();
        let started = EventKind::ImageDownloadStarted {
            image: image(),
            url: String::new(),
            resumed_bytes: 10,
            total_bytes: Some(40),
        };
        bars.event(&event(None, started));
        let seen = |bars: &Bars| {
            bars.downloads.values().map(|bar| (bar.position(), bar.length())).collect::<Vec<_>>()
        };
        assert_eq!(seen(&bars), [(10, Some(40))]);
        let progress =
            EventKind::ImageDownloadProgress { image: image(), done_bytes: 30, total_bytes: Some(40) };
        bars.event(&event(None, progress));
        assert_eq!(seen(&bars), [(30, Some(40))]);
        bars.event(&event(
            None,
            EventKind::ImageVerified { image: image(), sha512: String::new(), size_bytes: 40 },
        ));
        assert_eq!(seen(&bars), []);
    }
}
