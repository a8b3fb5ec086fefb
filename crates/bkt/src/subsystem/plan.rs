//! A plan as every subsystem shows it: what is done, what is left, what else is worth knowing.

use plasmavmc_types::Explain;
use schemars::JsonSchema;
use serde::Serialize;

use super::SubsystemError;

/// What is done to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It becomes managed as it is.
    Adopt,
    /// It is let go of.
    Remove,
    /// The manifest takes what it is.
    Capture,
    /// It is left as it is, and a person has to decide.
    Leave,
    /// It was changed, and takes that on later.
    Wait,
}

impl Verb {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Adopt => "adopt",
            Self::Remove => "remove",
            Self::Capture => "capture",
            Self::Leave => "leave",
            Self::Wait => "wait",
        }
    }
}

/// One thing and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Operation {
    /// What is done.
    pub verb: Verb,
    /// The thing.
    pub target: String,
    /// How, one line each.
    pub details: Vec<String>,
}

/// What a plan does, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// What is done, what is left for a person to decide ([`Verb::Leave`]), and what comes later
    /// ([`Verb::Wait`]).
    pub operations: Vec<Operation>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Summary {
    /// Whether everything is as the manifest has it.
    pub fn is_clean(&self) -> bool {
        self.operations.is_empty()
    }
}

/// How one thing stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Standing {
    /// The thing.
    pub target: String,
    /// What it does, in a word.
    pub state: String,
    /// What differs from the manifest, one line each; nothing where it is as the manifest has it.
    pub differs: Vec<String>,
    /// Whether it is as the manifest has it, or none of its business.
    pub clean: bool,
}

/// What failed.
#[derive(Debug)]
pub struct Failure {
    /// The thing.
    pub target: String,
    /// Why.
    pub error: Box<dyn Explain + Send + Sync>,
}

impl From<SubsystemError> for Failure {
    fn from(error: SubsystemError) -> Self {
        Self { target: error.subsystem().to_owned(), error: Box::new(error) }
    }
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, one line each.
    pub done: Vec<String>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
    /// What failed. What else was planned was done all the same.
    pub failed: Vec<Failure>,
    /// Whether something still differs from the manifest, which nothing failed to change.
    pub left: bool,
}

/// Hears of what is done as it is done, one line each.
pub type Told<'a> = dyn FnMut(&str) + 'a;

/// What is to be done, as a value. Making one writes nothing.
pub trait Plan {
    /// What it does, in words.
    fn describe(&self) -> Summary;

    /// Whether executing it does nothing.
    fn is_empty(&self) -> bool;

    /// Does it.
    ///
    /// # Errors
    /// [`SubsystemError`] where nothing was done; what failed in part is in the report.
    fn execute(self: Box<Self>, told: &mut Told<'_>) -> Result<Report, SubsystemError>;
}
