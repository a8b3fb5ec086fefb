//! The last word of `castra console`.

use crate::cli::face::View;
use crate::core::console::{ConsoleEnd, ConsoleOutcome};

pub(crate) fn console(outcome: &ConsoleOutcome, _: View) -> String {
    let vm = &outcome.vm;
    match outcome.end {
        // What went through a pipe is all there is to say.
        ConsoleEnd::InputEnded | ConsoleEnd::Interrupted => String::new(),
        ConsoleEnd::Left => format!("\nLeft the console, VM `{vm}` goes on running\n"),
        ConsoleEnd::VmStopped => format!("\nVM `{vm}` stopped\n"),
    }
}
