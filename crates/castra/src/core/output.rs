//! What every operation returns beside its value: diagnostics, as data.

use plasmavmc_types::Explain;
use schemars::JsonSchema;
use serde::Serialize;

/// The value of an operation, with what a person should know about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OperationOutput<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// Things worth knowing that are not failures.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> OperationOutput<T> {
    /// A value nobody needs to be told more about.
    pub fn new(value: T) -> Self {
        Self { value, diagnostics: Vec::new() }
    }
}

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something may not be as expected.
    Warning,
}

/// Something worth knowing that is not a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A note.
    pub fn note(message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into(), hint: None }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), hint: None }
    }

    /// A warning of a failure that stops nothing: what it is about, then why, then what next.
    pub fn failure<E: Explain + ?Sized>(about: &str, error: &E) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let why: String = causes.map(|cause| format!(": {cause}")).collect();
        Self { hint: error.hints().pop(), ..Self::warning(format!("{about}: {error}{why}")) }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
