//! Standard error: talk. Notes, warnings, hints and progress.
//!
//! Progress lines stay below what is said: everything goes through one [`MultiProgress`]. A standard
//! error that cannot be written loses talk and nothing else. Tests: `progress` and `report`.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use plasmavmc_types::VmName;

use crate::progress::{ProgressMode, Timeline, Transfer};
use crate::screen::{ColorMode, Width, plain, style, styled};

/// Standard error.
pub struct Stderr {
    color: bool,
    width: Width,
    bars: MultiProgress,
}

impl Stderr {
    /// The process's standard error, coloured as `color` says.
    pub fn new(color: ColorMode) -> Self {
        let stderr = io::stderr();
        Self {
            color: color.wants_color(&stderr),
            width: Width::of(&stderr),
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
        }
    }

    /// How wide a line may get.
    pub const fn width(&self) -> Width {
        self.width
    }

    /// Whether a person reads it at a terminal.
    pub const fn is_terminal(&self) -> bool {
        matches!(self.width, Width::Columns(_))
    }

    /// Says `text`, ended with a newline if it has none.
    pub fn say(&self, text: &str) {
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let text = if self.color { text.to_owned() } else { plain(text) };
        self.bars.suspend(|| {
            // Nobody can be told that standard error is broken.
            let _ = io::stderr().write_all(format!("{text}{newline}").as_bytes());
        });
    }

    /// Warns: `warning: …`.
    pub fn warn(&self, text: &str) {
        self.say(&format!("{} {text}", styled(style::WARNING, "warning:")));
    }

    /// Hints at something to type: `hint: …`.
    pub fn hint(&self, text: &str) {
        self.say(&format!("{} {text}", styled(style::HINT, "hint:")));
    }

    /// The progress of a command over `vms`, shown as `mode` says.
    pub fn timeline<'a>(&'a self, mode: ProgressMode, vms: &[VmName]) -> Timeline<'a> {
        if mode == ProgressMode::Bars {
            self.bars.set_draw_target(ProgressDrawTarget::stderr());
        }
        Timeline::new(self, self.bars.clone(), mode, vms)
    }

    /// The progress of a transfer; only a terminal shows it.
    pub fn transfer(&self, mode: ProgressMode) -> Transfer {
        if mode != ProgressMode::Bars {
            return Transfer::new(None);
        }
        self.bars.set_draw_target(ProgressDrawTarget::stderr());
        Transfer::new(Some(self.bars.clone()))
    }

    /// How progress is shown unless a person says otherwise: moving on a terminal, as lines elsewhere.
    pub const fn progress_mode(&self) -> ProgressMode {
        if self.is_terminal() { ProgressMode::Bars } else { ProgressMode::Lines }
    }
}
