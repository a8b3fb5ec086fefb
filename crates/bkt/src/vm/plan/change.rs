//! One field that differs, who changed it, and what is done about it.
//!
//! ```text
//!  manifest changed            Make, or Blocked by what stands against it
//!  edited by hand, or both     Leave; with --keep-mine as above; with --take-theirs FIELD TakeTheirs
//! ```
//!
//! Pure. Tests: with the planning.

use plasmavmc_engine::{Drift, compare};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Options;
use crate::vm::{Applied, Current, Field, Forecast, Situation, Values};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The field.
    pub field: Field,
    /// What it is; none where a manifest has no word for it.
    pub from: Option<Value>,
    /// What it was when it was applied last; none where it was not.
    pub applied: Option<Value>,
    /// What the manifest wants.
    pub to: Value,
    /// Who changed it.
    pub drift: Drift,
    /// When the manifest's value would take effect.
    pub forecast: Forecast,
    /// What is done.
    pub decision: Decision,
    /// What the manifest takes, where that is not `from` in so many words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes: Option<Value>,
}

/// What is done about a field that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It takes the manifest's value.
    Make,
    /// Nothing: someone edited it, and that is not overwritten unasked.
    Leave,
    /// Nothing: something stands against it.
    Blocked,
    /// The manifest takes the VM's value.
    TakeTheirs,
}

/// The fields that differ, of those that are wanted and known.
pub(super) fn changes(
    wanted: &Values,
    current: &Current,
    applied: Option<&Applied>,
    situation: &Situation<'_>,
    options: &Options,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (&field, to) in wanted {
        let from = current.values.get(&field);
        let is_known = from.is_some() || current.unsaid.iter().any(|unsaid| unsaid.field == field);
        // A disk's size that nobody could read, autostart of a dump: no conclusion.
        if !is_known && matches!(field, Field::DiskSizeGb | Field::Autostart) {
            continue;
        }
        let base = applied.and_then(|applied| applied.fields.get(&field));
        let drift = compare(base, to, from);
        if drift.is_settled() {
            continue;
        }
        let forecast = situation.forecast(field, to);
        let decision = decide(field, drift, from, &forecast, options);
        let (from, applied) = (from.cloned(), base.cloned());
        changes.push(Change { field, from, applied, to: to.clone(), drift, forecast, decision, takes: None });
    }
    changes
}

fn decide(
    field: Field,
    drift: Drift,
    from: Option<&Value>,
    forecast: &Forecast,
    options: &Options,
) -> Decision {
    // What a manifest cannot say, it cannot take.
    if drift.is_drift() && options.take_theirs.contains(&field) && from.is_some() {
        return Decision::TakeTheirs;
    }
    if drift.is_drift() && !options.keep_mine {
        return Decision::Leave;
    }
    if forecast.is_made() { Decision::Make } else { Decision::Blocked }
}

/// What is noted as applied once the changes were made: what was not made keeps its old note, so that it
/// goes on being told.
pub(super) fn applied_after(wanted: &Values, changes: &[Change], before: Option<&Applied>) -> Values {
    let mut after = Values::new();
    for (&field, to) in wanted {
        let value = match changes.iter().find(|change| change.field == field) {
            None => Some(to),
            Some(change) => match change.decision {
                Decision::Make => Some(to),
                Decision::TakeTheirs => change.from.as_ref(),
                Decision::Leave | Decision::Blocked => before.and_then(|applied| applied.fields.get(&field)),
            },
        };
        if let Some(value) = value {
            after.insert(field, value.clone());
        }
    }
    after
}
