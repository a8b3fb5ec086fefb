//! What a copy did, in a sentence. Tests: below.

use std::time::Duration;

use plasmavmc_term::text::{count, duration, list};

use super::style::size;
use crate::cli::face::View;
use crate::core::copy::{Copied, CopyDirection, CopyOutcome};

pub(crate) fn copy(outcome: &CopyOutcome, _: View) -> String {
    let way = match outcome.direction {
        CopyDirection::ToGuest => "to",
        CopyDirection::FromGuest => "from",
    };
    let took = duration(Duration::from_millis(outcome.elapsed_ms));
    format!("Copied {} {way} VM `{}` in {took}\n", what(&outcome.copied), outcome.vm)
}

fn what(copied: &Copied) -> String {
    let Copied { files, directories, links, bytes } = *copied;
    let counts =
        [(files, "file", "files"), (directories, "directory", "directories"), (links, "link", "links")];
    let some: Vec<String> = counts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(*number, one, many))
        .collect();
    let what = if some.is_empty() { "nothing".to_owned() } else { list(&some) };
    if files > 0 { format!("{what} ({})", size(bytes)) } else { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_by_what_it_moved() {
        let said = |files, directories, links, bytes| what(&Copied { files, directories, links, bytes });
        assert_eq!(said(1, 0, 0, 5), "1 file (5 B)");
        assert_eq!(said(2, 1, 1, 3 << 20), "2 files, 1 directory and 1 link (3 MiB)");
        assert_eq!(said(0, 1, 0, 0), "1 directory");
        assert_eq!(said(0, 0, 0, 0), "nothing");
    }
}
