//! What the terminal can do: its width, and whether colour is wanted.
//!
//! Text is rendered with its styles, and the stream it goes to strips them where they are not
//! wanted; meaning never depends on colour. Tests: below.

use std::fmt;
use std::str::FromStr;

use anstyle::Style;

/// When to colour what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorMode {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    #[default]
    Auto,
    /// Always, whatever the environment says.
    Always,
    /// Never.
    Never,
}

impl ColorMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Always, Self::Never];

    /// The mode as it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether `stream` shall be coloured.
    pub(crate) fn wants_color(self, stream: &impl anstream::stream::RawStream) -> bool {
        match self {
            Self::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl fmt::Display for ColorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not a [`ColorMode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a colour mode: use auto, always or never")]
pub struct ParseColorModeError {
    text: String,
}

impl FromStr for ColorMode {
    type Err = ParseColorModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| ParseColorModeError { text: text.to_owned() })
    }
}

/// How wide a line may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// As wide as it is: a file or a pipe.
    Unlimited,
    /// The columns of a terminal.
    Columns(u16),
}

impl Width {
    /// Fewer columns than this are treated as this many: a terminal of a few columns cannot be laid
    /// out for.
    const MIN: u16 = 40;

    /// The columns of a terminal that does not know how many it has, and says 0.
    const UNKNOWN: u16 = 80;

    /// The width of the terminal behind `stream`.
    pub(crate) fn of(stream: impl std::os::fd::AsFd) -> Self {
        match rustix::termios::tcgetwinsize(stream) {
            Ok(size) => Self::columns(size.ws_col),
            Err(_) => Self::Unlimited,
        }
    }

    /// A terminal of `columns` columns.
    pub const fn columns(columns: u16) -> Self {
        Self::Columns(match columns {
            0 => Self::UNKNOWN,
            few if few < Self::MIN => Self::MIN,
            columns => columns,
        })
    }
}

/// `text` in `style`.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `text` as it is seen without colour.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The styles this crate uses.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const BOLD: Style = Style::new().bold();
    pub(crate) const DIM: Style = Style::new().dimmed();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_mode_survives_its_text_form() {
        for mode in ColorMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("sometimes".parse::<ColorMode>().is_err());
    }

    #[test]
    fn a_terminal_without_columns_is_given_some() {
        assert_eq!(Width::columns(0), Width::Columns(80));
        assert_eq!(Width::columns(7), Width::Columns(40));
        assert_eq!(Width::columns(120), Width::Columns(120));
    }

    #[test]
    fn stripping_a_style_leaves_the_text() {
        assert_eq!(plain(&styled(style::ERROR, "error")), "error");
    }
}
