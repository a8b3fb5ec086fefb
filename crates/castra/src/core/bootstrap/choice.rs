//! Which VMs of an `up` are bootstrapped: what the config says, or `--bootstrap` instead.
//!
//! ```text
//! skip              every VM        web=always,db=skip     these; the others as configured
//! ```
//!
//! Pure. Tests: below.

use std::fmt;
use std::str::FromStr;

use plasmavmc_types::{BootstrapMode, NameError, VmName};

use crate::config::{Project, VmConfig};
use crate::core::error::Error;

/// What the command line says of bootstraps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootstrapChoice {
    all: Option<BootstrapMode>,
    single: Vec<(VmName, BootstrapMode)>,
}

/// Why a text is no [`BootstrapChoice`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapChoiceError {
    /// A word that is no mode.
    #[error("`{found}` is none of `auto`, `skip`, `always`; {suggestion}")]
    Mode {
        /// The word.
        found: String,
        /// What was meant, as far as that can be guessed.
        suggestion: String,
    },
    /// What stands before `=` is no name.
    #[error("`{found}` cannot be the name of a VM")]
    Name {
        /// The text.
        found: String,
        /// Why not.
        #[source]
        source: NameError,
    },
    /// One VM twice, or all of them twice.
    #[error("`{found}` is said twice")]
    Twice {
        /// The part that stands second.
        found: String,
    },
}

impl BootstrapChoice {
    /// Every VM's bootstrap the same.
    pub fn all(mode: BootstrapMode) -> Self {
        Self { all: Some(mode), single: Vec::new() }
    }

    /// When the bootstrap of a VM runs; none where it has none.
    pub fn mode_of(&self, vm: &VmConfig) -> Option<BootstrapMode> {
        let configured = vm.bootstrap.as_ref()?.mode;
        let single = self.single.iter().find(|(name, _)| *name == vm.name).map(|(_, mode)| *mode);
        Some(single.or(self.all).unwrap_or(configured))
    }

    /// Whether every VM it names is there and has a bootstrap.
    ///
    /// # Errors
    /// [`Error::UnknownVm`], [`Error::NoBootstrap`].
    pub(crate) fn check(&self, project: &Project) -> Result<(), Error> {
        for (name, mode) in &self.single {
            match project.vms.iter().find(|vm| vm.name == *name) {
                None => {
                    let known = project.vms.iter().map(|vm| vm.name.clone()).collect();
                    return Err(Error::UnknownVm { vm: name.to_string(), known });
                }
                Some(vm) if vm.bootstrap.is_none() && *mode != BootstrapMode::Skip => {
                    return Err(Error::NoBootstrap { vm: Some(name.clone()) });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl FromStr for BootstrapChoice {
    type Err = BootstrapChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut choice = Self::default();
        for part in text.split(',').map(str::trim) {
            let twice = || BootstrapChoiceError::Twice { found: part.to_owned() };
            match part.split_once('=') {
                None if choice.all.is_some() => return Err(twice()),
                None => choice.all = Some(mode(part)?),
                Some((name, word)) => {
                    let name: VmName = name.parse().map_err(|source| BootstrapChoiceError::Name {
                        found: name.chars().take(80).collect(),
                        source,
                    })?;
                    if choice.single.iter().any(|(other, _)| *other == name) {
                        return Err(twice());
                    }
                    choice.single.push((name, mode(word)?));
                }
            }
        }
        Ok(choice)
    }
}

fn mode(word: &str) -> Result<BootstrapMode, BootstrapChoiceError> {
    let found = BootstrapMode::ALL.into_iter().find(|mode| mode.as_str() == word);
    found.ok_or_else(|| {
        let near = BootstrapMode::ALL
            .into_iter()
            .min_by_key(|mode| strsim::damerau_levenshtein(mode.as_str(), &word.to_lowercase()))
            .filter(|mode| strsim::damerau_levenshtein(mode.as_str(), &word.to_lowercase()) <= 2);
        let suggestion = match near {
            Some(mode) => format!("did you mean `{mode}`?"),
            None => "for one VM write `web=always`".to_owned(),
        };
        BootstrapChoiceError::Mode { found: word.chars().take(80).collect(), suggestion }
    })
}

/// As it would be written: what `--bootstrap` takes.
impl fmt::Display for BootstrapChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.map(|mode| mode.to_string());
        let single = self.single.iter().map(|(name, mode)| format!("{name}={mode}"));
        let parts: Vec<String> = all.into_iter().chain(single).collect();
        f.write_str(if parts.is_empty() { "auto".to_owned() } else { parts.join(",") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};
    use crate::env::UserDirs;

    fn project() -> Project {
        let dirs = UserDirs::from_values(None, Some("/home/me".into())).unwrap();
        let env = Environment::new("/src/shop/castra.toml", &dirs);
        let text = "[[vms]]\nname = \"web\"\nbootstrap = { script = \"b.sh\" }\n[[vms]]\nname = \"db\"\n\
                    bootstrap = { script = \"b.sh\", mode = \"skip\" }\n[[vms]]\nname = \"bare\"\n";
        parse(text, &env).unwrap()
    }

    fn modes(text: &str) -> Vec<Option<&'static str>> {
        let choice: BootstrapChoice =
            if text.is_empty() { Default::default() } else { text.parse().unwrap() };
        project().vms.iter().map(|vm| choice.mode_of(vm).map(BootstrapMode::as_str)).collect()
    }

    #[test]
    fn the_command_line_wins_and_a_vms_own_word_wins_over_all() {
        for (text, expected) in [
            ("", [Some("auto"), Some("skip"), None]),
            ("always", [Some("always"), Some("always"), None]),
            ("web=skip", [Some("skip"), Some("skip"), None]),
            ("skip,db=always", [Some("skip"), Some("always"), None]),
            ("db=auto, web=always", [Some("always"), Some("auto"), None]),
        ] {
            assert_eq!(modes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_says_what_could() {
        let error = |text: &str| text.parse::<BootstrapChoice>().unwrap_err().to_string();
        assert_eq!(error("alway"), "`alway` is none of `auto`, `skip`, `always`; did you mean `always`?");
        assert_eq!(error("web"), "`web` is none of `auto`, `skip`, `always`; for one VM write `web=always`");
        assert_eq!(
            error("web=never"),
            "`never` is none of `auto`, `skip`, `always`; for one VM write `web=always`"
        );
        assert_eq!(error("a/b=skip"), "`a/b` cannot be the name of a VM");
        assert_eq!(error("web=skip,web=auto"), "`web=auto` is said twice");
        assert_eq!(error("skip,auto"), "`auto` is said twice");
        assert!(error("").contains("is none of"));
    }

    #[test]
    fn a_vm_that_is_not_there_or_has_no_bootstrap_is_pointed_out() {
        let check = |text: &str| text.parse::<BootstrapChoice>().unwrap().check(&project());
        assert!(matches!(check("wbe=skip"), Err(Error::UnknownVm { .. })));
        assert!(matches!(check("bare=always"), Err(Error::NoBootstrap { .. })));
        assert!(check("bare=skip,web=always").is_ok() && check("always").is_ok());
    }

    #[test]
    fn a_choice_reads_back_as_it_is_shown() {
        for text in ["skip", "always,db=skip", "web=always,db=skip"] {
            let choice: BootstrapChoice = text.parse().unwrap();
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!(BootstrapChoice::default().to_string(), "auto");
    }
}
