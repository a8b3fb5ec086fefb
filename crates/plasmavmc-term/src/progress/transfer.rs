//! Bytes on their way: a bar that shows once there is something to wait for, and only on a terminal.
//! What it looks like is for the eye; that its template is one is tested below.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a transfer takes before a person is shown how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

const TEMPLATE: &str =
    "{spinner} {msg}  [{bar:24}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
const OF_UNKNOWN_SIZE: &str = "{spinner} {msg}  {binary_bytes}  {binary_bytes_per_sec}";

/// The bar of a transfer. Gone when dropped.
pub struct Transfer {
    all: Option<MultiProgress>,
    bar: Option<ProgressBar>,
    shown: bool,
    begun: Instant,
}

impl Transfer {
    /// A transfer shown through `all`, or not at all.
    pub(crate) fn new(all: Option<MultiProgress>) -> Self {
        Self { all, bar: None, shown: false, begun: Instant::now() }
    }

    /// So many bytes of all are done; `what` is at work.
    pub fn at(&mut self, done: u64, total: Option<u64>, what: &str) {
        let Some(all) = &self.all else { return };
        // Unseen from the first byte on, so that its rate is that of the whole transfer.
        let bar = self.bar.get_or_insert_with(|| hidden_bar(total));
        if !self.shown && self.begun.elapsed() >= PATIENCE {
            self.shown = true;
            *bar = all.add(bar.clone());
        }
        if bar.message() != what {
            bar.set_message(crate::text::printable(what).replace(['\n', '\t'], " "));
        }
        bar.set_position(done);
    }
}

fn hidden_bar(total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() { TEMPLATE } else { OF_UNKNOWN_SIZE };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style)
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_one() {
        for template in [TEMPLATE, OF_UNKNOWN_SIZE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_short_transfer_shows_nothing_and_a_long_one_how_far_it_is() {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut transfer = Transfer::new(Some(all));
        transfer.at(1, Some(10), "a");
        assert!(!transfer.shown);
        transfer.begun = Instant::now() - PATIENCE;
        transfer.at(7, Some(10), "b\nc");
        let bar = transfer.bar.as_ref().unwrap();
        assert!(transfer.shown);
        assert_eq!((bar.position(), bar.length(), bar.message()), (7, Some(10), "b c".to_owned()));
    }
}
