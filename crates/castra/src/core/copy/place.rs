//! The two ends of a copy: a path here, a path in a VM, or a stream. Pure. Tests: below.

use std::path::PathBuf;

use plasmavmc_types::VmName;

use super::CopyError;

/// An end of a copy as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path on the host.
    Host(PathBuf),
    /// A path in a guest.
    Guest {
        /// The VM; may be left out where there is only one.
        vm: Option<VmName>,
        /// The path; relative ones begin in root's home. Empty: that home.
        path: String,
    },
    /// Standard input or output.
    Stream,
}

impl Place {
    /// The place that `word` names: `vm:path`, `:path`, `-`, or a path here. A path here with a colon
    /// before its first slash is written with `./`.
    pub fn of(word: &str) -> Self {
        if word == "-" {
            return Self::Stream;
        }
        match word.split_once(':') {
            Some(("", path)) => Self::Guest { vm: None, path: path.to_owned() },
            Some((name, path)) => match name.parse() {
                Ok(vm) => Self::Guest { vm: Some(vm), path: path.to_owned() },
                Err(_) => Self::Host(word.into()),
            },
            None => Self::Host(word.into()),
        }
    }
}

/// What is copied where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// From here into a guest.
    Push { vm: Option<VmName>, sources: Vec<Here>, to: String },
    /// Out of a guest.
    Pull { vm: Option<VmName>, sources: Vec<String>, to: Here },
}

/// The host's end of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Here {
    Path(PathBuf),
    Stream,
}

/// The route between places, of which exactly one side is a guest.
pub(super) fn route(sources: &[Place], destination: &Place) -> Result<Route, CopyError> {
    if sources.is_empty() {
        return Err(CopyError::NothingToCopy);
    }
    match destination {
        Place::Guest { vm, path } => {
            let sources = sources.iter().map(|source| match source {
                Place::Host(path) => Ok(Here::Path(path.clone())),
                Place::Stream if sources.len() == 1 => Ok(Here::Stream),
                Place::Stream => Err(CopyError::StreamAmongOthers),
                Place::Guest { .. } => Err(CopyError::BothInGuests),
            });
            Ok(Route::Push { vm: vm.clone(), sources: sources.collect::<Result<_, _>>()?, to: path.clone() })
        }
        Place::Host(_) | Place::Stream => {
            let to = match destination {
                Place::Host(path) => Here::Path(path.clone()),
                _ if sources.len() > 1 => return Err(CopyError::StreamAmongOthers),
                _ => Here::Stream,
            };
            let mut paths = Vec::new();
            let mut from: Option<&Option<VmName>> = None;
            for source in sources {
                let Place::Guest { vm, path } = source else { return Err(CopyError::BothHere) };
                if from.is_some_and(|from| from != vm) {
                    return Err(CopyError::SeveralGuests);
                }
                from = Some(vm);
                paths.push(path.clone());
            }
            Ok(Route::Pull { vm: from.cloned().flatten(), sources: paths, to })
        }
    }
}

/// The last name of a path in a guest; none where it has none (`/`, `..`, empty).
pub(super) fn last_name(path: &str) -> Option<&str> {
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(last, "" | "." | "..")).then_some(last)
}

/// A path in a guest with a name behind it.
pub(super) fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path if path.ends_with('/') => format!("{path}{name}"),
        path => format!("{path}/{name}"),
    }
}

/// A path as the agent takes it: an empty one is root's home.
pub(super) fn or_home(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(vm: Option<&str>, path: &str) -> Place {
        Place::Guest { vm: vm.map(|vm| vm.parse().unwrap()), path: path.into() }
    }

    #[test]
    fn a_word_names_a_place() {
        assert_eq!(Place::of("web:/etc/a:b"), guest(Some("web"), "/etc/a:b"));
        assert_eq!(Place::of("web:"), guest(Some("web"), ""));
        assert_eq!(Place::of(":notes"), guest(None, "notes"));
        assert_eq!(Place::of("-"), Place::Stream);
        for here in ["a", "./a:b", "/x:y", "a b:c", "../web:x"] {
            assert_eq!(Place::of(here), Place::Host(here.into()));
        }
    }

    #[test]
    fn exactly_one_side_is_a_guest() {
        let of = |sources: &[&str], to: &str| {
            let sources: Vec<Place> = sources.iter().map(|source| Place::of(source)).collect();
            route(&sources, &Place::of(to))
        };
        assert!(matches!(of(&["a", "b"], "web:/x"), Ok(Route::Push { .. })));
        assert!(matches!(of(&["web:a", "web:b"], "."), Ok(Route::Pull { .. })));
        assert!(matches!(of(&["-"], "web:/x"), Ok(Route::Push { .. })));
        assert!(matches!(of(&["web:a"], "-"), Ok(Route::Pull { to: Here::Stream, .. })));
        assert!(matches!(of(&["a"], "b"), Err(CopyError::BothHere)));
        assert!(matches!(of(&["web:a"], "db:b"), Err(CopyError::BothInGuests)));
        assert!(matches!(of(&["web:a", "db:b"], "."), Err(CopyError::SeveralGuests)));
        assert!(matches!(of(&["web:a", "b"], "."), Err(CopyError::BothHere)));
        assert!(matches!(of(&["-", "b"], "web:"), Err(CopyError::StreamAmongOthers)));
        assert!(matches!(of(&["web:a", "web:b"], "-"), Err(CopyError::StreamAmongOthers)));
        assert!(matches!(of(&[], "web:"), Err(CopyError::NothingToCopy)));
    }

    #[test]
    fn paths_in_a_guest_are_joined_as_text() {
        assert_eq!(last_name("/a/b/"), Some("b"));
        assert_eq!(last_name("b"), Some("b"));
        for path in ["/", "", ".", "a/..", "//"] {
            assert_eq!(last_name(path), None, "{path}");
        }
        assert_eq!(below("/a", "b"), "/a/b");
        assert_eq!(below("/", "b"), "/b");
        assert_eq!(below("", "b"), "b");
    }
}
