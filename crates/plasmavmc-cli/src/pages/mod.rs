//! Pages made from a command line's own definition: for `docs/`, and as manual pages.
//!
//! Texts are made without I/O; [`write()`] writes them. Tests: below, and in `commands`.

mod commands;

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

pub use self::commands::commands;
use crate::error::EdgeError;

/// A page and its file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The line under the title of every generated page.
pub const NOTICE: &str = "*Made from the code by `cargo xtask gen`; do not edit.*";

/// The definition of a command line with everything that is filled in at the start.
pub fn definition<C: CommandFactory>() -> Command {
    let mut root = C::command();
    root.build();
    root
}

/// The manual pages: that of the command first, then one for each command below it.
pub fn manual(root: &Command) -> Vec<Page> {
    let mut pages = Vec::new();
    collect(root, root.get_name(), &mut pages);
    pages
}

fn collect(command: &Command, name: &str, pages: &mut Vec<Page>) {
    pages.push(Page { name: format!("{name}.1"), text: manual_of(command) });
    for sub in subcommands(command) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

/// The manual page of one command.
pub fn manual_of(command: &Command) -> String {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).expect("a vector takes every byte");
    String::from_utf8_lossy(&text).into_owned()
}

/// The commands a person may type.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// What a definition does not put into words: commands and arguments without help. A face's test wants none.
pub fn unworded(command: &Command) -> Vec<String> {
    let name = command.get_name();
    let about = command.get_about().is_none().then(|| format!("`{name}`"));
    let wordless = command.get_arguments().filter(|arg| arg.get_help().is_none());
    let own = about.into_iter().chain(wordless.map(|arg| format!("`{}` of `{name}`", arg.get_id())));
    own.chain(command.get_subcommands().flat_map(unworded)).collect()
}

/// Writes pages into a directory, which is made where it is missing. Pages that are as they should be are
/// left alone, so that their time of change means something.
///
/// # Errors
/// [`EdgeError::Page`] where one cannot be written.
pub fn write(dir: &Path, pages: &[Page]) -> Result<(), EdgeError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| EdgeError::Page { action, path, source }
    };
    fs::create_dir_all(dir).map_err(failed("create directory", dir))?;
    for page in pages {
        let path = dir.join(&page.name);
        if !fs::read_to_string(&path).is_ok_and(|old| old == page.text) {
            fs::write(&path, &page.text).map_err(failed("write", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Arg;
    use plasmavmc_types::{ErrorKind, Explain};

    use super::*;

    /// A command with one below it, another that is hidden, and an argument without words.
    fn root() -> Command {
        let up = Command::new("up").about("Go up").arg(Arg::new("silent").long("silent"));
        let hidden = Command::new("docs").about("Write").hide(true);
        let mut root = Command::new("lift").about("Go").subcommands([up, hidden]);
        root.build();
        root
    }

    #[test]
    fn every_command_has_a_manual_page_and_none_is_hidden() {
        let pages = manual(&root());
        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();
        assert_eq!(names, ["lift.1", "lift-up.1"]);
        assert_eq!(pages[0].text, manual_of(&root()));
        assert!(pages[1].text.contains(".TH"), "{}", pages[1].text);
    }

    #[test]
    fn what_has_no_words_is_found_wherever_it_is() {
        assert_eq!(unworded(&root()), ["`silent` of `up`"]);
    }

    #[test]
    fn a_page_that_is_as_it_should_be_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let page = Page { name: "a.md".to_owned(), text: "a\n".to_owned() };
        let below = dir.path().join("new/dir");
        write(&below, std::slice::from_ref(&page)).unwrap();
        let path = below.join("a.md");
        let before = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        write(&below, std::slice::from_ref(&page)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        write(&below, &[Page { text: "b\n".to_owned(), ..page }]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
    }

    #[test]
    fn a_page_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let page = Page { name: "a".to_owned(), text: String::new() };
        fs::create_dir(dir.path().join("a")).unwrap();
        let error = write(dir.path(), &[page]).unwrap_err();
        assert_eq!(error.to_string(), format!("failed to write `{}`", dir.path().join("a").display()));
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
