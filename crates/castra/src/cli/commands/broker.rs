//! `castra broker --root DIR [--stay]`: the process that serves a workspace's guest channels.
//!
//! `castra up` starts it and nobody else does, so it is none of the commands that people are told of. It
//! is known by its words before the command line is built: it lives as long as the VMs do, and whatever
//! it has once touched it holds in memory. Tests: below; `tests/it/broker.rs`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::error::CliError;
use crate::cli::face::session;
use crate::core::broker::{ServeOptions, Stay, serve};

/// What a broker is told, where these are the words that start one.
pub(crate) fn asked(words: &[OsString]) -> Option<ServeOptions> {
    let (root, stay) = match words {
        [_, broker, flag, root] if broker == "broker" && flag == "--root" => (root, Stay::WithVms),
        [_, broker, flag, root, stay] if broker == "broker" && flag == "--root" && stay == "--stay" => {
            (root, Stay::UntilDown)
        }
        _ => return None,
    };
    Some(ServeOptions { root: PathBuf::from(root), stay })
}

/// Serves until it is over.
pub(crate) fn run(mut options: ServeOptions) -> Result<(), CliError> {
    let session = session()?;
    options.root = session.cwd.join(&options.root);
    serve(&session, &options, &|_| {})?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_a_launch_are_a_broker() {
        let of = |words: &[&str]| {
            let words: Vec<_> = ["castra"].iter().chain(words).map(OsString::from).collect();
            asked(&words).map(|options| (options.root, options.stay))
        };
        assert_eq!(of(&["broker", "--root", "/w"]), Some(("/w".into(), Stay::WithVms)));
        assert_eq!(of(&["broker", "--root", "/w", "--stay"]), Some(("/w".into(), Stay::UntilDown)));
        for words in [&["broker"][..], &["up", "--root", "/w"], &["broker", "--root", "/w", "--help"]] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }
}
