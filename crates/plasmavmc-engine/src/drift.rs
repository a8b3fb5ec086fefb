//! Tells a change of the wish from a change of the thing, one value at a time.
//!
//! ```text
//!                    current == wanted         current == base          neither
//!  wanted == base    clean                     clean                    edited by hand
//!  wanted != base    both the same way         the manifest changed     conflict
//!  no base           clean                     -                        the manifest changed
//! ```
//!
//! The base is what was applied last; without one the wish is all there is to go by. Never does: decide
//! what becomes of a difference, which is the face's to ask its user. Pure. Tests: below, a table and
//! properties.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a value that is wanted, the one applied last, and the one there is, relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Nobody changed anything since the last time, or it was never applied and fits all the same.
    Clean,
    /// Only the wish changed: to be applied.
    ManifestChanged,
    /// Only the thing changed: someone edited it by hand.
    EditedByHand,
    /// Both changed, to the same value: nothing to do but to note it.
    BothTheSame,
    /// Both changed, to different values.
    Conflict,
}

impl Drift {
    /// Whether the thing is as wanted.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Clean | Self::BothTheSame)
    }

    /// Whether someone's edit would be lost if the wish were applied.
    pub const fn is_drift(self) -> bool {
        matches!(self, Self::EditedByHand | Self::Conflict)
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clean => "clean",
            Self::ManifestChanged => "the manifest changed",
            Self::EditedByHand => "edited by hand",
            Self::BothTheSame => "both changed alike",
            Self::Conflict => "both changed",
        })
    }
}

/// Compares what is wanted with what was applied last (`base`) and what there is (`current`).
///
/// A `current` of none is there but has no words: it equals nothing.
pub fn compare<T: PartialEq + ?Sized>(base: Option<&T>, wanted: &T, current: Option<&T>) -> Drift {
    let Some(base) = base else {
        return if current == Some(wanted) { Drift::Clean } else { Drift::ManifestChanged };
    };
    match (wanted == base, current == Some(wanted), current == Some(base)) {
        (true, true, _) => Drift::Clean,
        (true, false, _) => Drift::EditedByHand,
        (false, true, _) => Drift::BothTheSame,
        (false, false, true) => Drift::ManifestChanged,
        (false, false, false) => Drift::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_relation_of_three_values_has_its_name() {
        for (base, wanted, current, expected) in [
            (Some(1), 1, Some(1), Drift::Clean),
            (Some(1), 2, Some(1), Drift::ManifestChanged),
            (Some(1), 1, Some(2), Drift::EditedByHand),
            (Some(1), 2, Some(2), Drift::BothTheSame),
            (Some(1), 2, Some(3), Drift::Conflict),
            (Some(1), 1, None, Drift::EditedByHand),
            (Some(1), 2, None, Drift::Conflict),
            (None, 1, Some(1), Drift::Clean),
            (None, 1, Some(2), Drift::ManifestChanged),
            (None, 1, None, Drift::ManifestChanged),
        ] {
            let found = compare(base.as_ref(), &wanted, current.as_ref());
            assert_eq!(found, expected, "base {base:?}, wanted {wanted}, current {current:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_as_wanted_is_settled_and_nothing_else_is(
            base in proptest::option::of(0..3u8), wanted in 0..3u8, current in proptest::option::of(0..3u8)
        ) {
            let drift = compare(base.as_ref(), &wanted, current.as_ref());
            prop_assert_eq!(drift.is_settled(), current == Some(wanted));
        }

        #[test]
        fn applying_a_change_or_taking_theirs_settles_it(
            base in 0..3u8, wanted in 0..3u8, current in 0..3u8
        ) {
            prop_assert_eq!(compare(Some(&wanted), &wanted, Some(&wanted)), Drift::Clean);
            prop_assert!(compare(Some(&base), &current, Some(&current)).is_settled());
        }

        #[test]
        fn an_edit_by_hand_is_never_taken_for_a_change_of_the_manifest(
            base in 0..3u8, wanted in 0..3u8, current in 0..3u8
        ) {
            let drift = compare(Some(&base), &wanted, Some(&current));
            let edited = current != base && current != wanted;
            prop_assert_eq!(drift.is_drift(), edited);
        }

        #[test]
        fn the_two_sides_are_treated_alike(base in 0..3u8, a in 0..3u8, b in 0..3u8) {
            let mirrored = match compare(Some(&base), &b, Some(&a)) {
                Drift::ManifestChanged => Drift::EditedByHand,
                Drift::EditedByHand => Drift::ManifestChanged,
                other => other,
            };
            prop_assert_eq!(compare(Some(&base), &a, Some(&b)), mirrored);
        }
    }
}
