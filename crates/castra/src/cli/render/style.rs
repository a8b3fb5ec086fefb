//! What the renderers share: states, sizes, forwards and headers as text.

use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use plasmavmc_term::styled;
use plasmavmc_term::text::duration;
use plasmavmc_types::{ByteSize, VmSummary};

use crate::core::status::Forward;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BUSY: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();

/// A state's colour. Its word is what tells it.
pub(super) const fn of_state(state: VmSummary) -> Style {
    match state {
        VmSummary::Running => GOOD,
        VmSummary::Starting | VmSummary::ShuttingDown => BUSY,
        VmSummary::Stopped => DIM,
    }
}

/// The line above what belongs to a workspace.
pub(super) fn header(project: &str, id: &str) -> String {
    format!("{}  {}\n", styled(BOLD, project), styled(DIM, id))
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::bytes(bytes).to_string()
}

/// A time span as people read it.
pub(super) fn span(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

/// A forward as people write it: `2222->22`, with what is not the default.
pub(super) fn forward(forward: &Forward) -> String {
    let loopback = forward.address == std::net::IpAddr::from([127, 0, 0, 1]);
    let udp = forward.protocol == plasmavmc_types::Protocol::Udp;
    let address = match forward.address {
        _ if loopback => String::new(),
        std::net::IpAddr::V4(address) => format!("{address}:"),
        std::net::IpAddr::V6(address) => format!("[{address}]:"),
    };
    format!("{address}{}->{}{}", forward.host, forward.guest, if udp { "/udp" } else { "" })
}

/// Forwards in one cell.
pub(super) fn forwards(all: &[Forward]) -> String {
    all.iter().map(forward).collect::<Vec<_>>().join(" ")
}

/// A path as it is shown.
pub(super) fn path(path: &Path) -> String {
    plasmavmc_term::text::printable(&path.to_string_lossy()).into_owned()
}
