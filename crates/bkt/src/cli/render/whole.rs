//! The answers of `bkt sync`, `bkt capture`, `bkt status` and `bkt drift`: every subsystem's part.

use plasmavmc_term::text::printable;
use plasmavmc_term::{Column, Table, Width, styled};

use super::style::{BAD, BOLD, BUSY, DIM, GOOD};
use crate::cli::outcomes::{DriftOutcome, Part, StatusOutcome, WholeOutcome};
use crate::subsystem::{Operation, Summary, Verb};

pub(crate) fn whole(outcome: &WholeOutcome, width: Width) -> String {
    let mut text = parts(&outcome.subsystems, width);
    text.push_str(match (outcome.subsystems.iter().all(|part| part.summary.is_clean()), outcome.dry_run) {
        (true, _) => "Everything is as it is declared\n",
        (false, true) => "Nothing was changed\n",
        (false, false) if outcome.clean => "Done\n",
        (false, false) => "Done, but for what failed, is left to decide, or waits\n",
    });
    text
}

pub(crate) fn drift(outcome: &DriftOutcome, width: Width) -> String {
    let text = parts(&outcome.subsystems, width);
    if outcome.clean { text + "Nothing differs\n" } else { text }
}

pub(crate) fn status(outcome: &StatusOutcome, width: Width) -> String {
    let mut text = String::new();
    for part in &outcome.subsystems {
        text.push_str(&format!("{}\n", styled(BOLD, &part.subsystem)));
        let mut table = Table::new(["NAME", "STATE", "DIFFERS"].map(Column::text));
        for thing in &part.things {
            let style = if thing.clean { GOOD } else { BAD };
            table.styled_row([thing.target.clone(), thing.state.clone(), thing.differs.join("; ")], 1, style);
        }
        text.push_str(&table.render(width));
    }
    text
}

fn parts(parts: &[Part], width: Width) -> String {
    parts.iter().filter(|part| part.summary != Summary::default()).map(|part| one(part, width)).collect()
}

fn one(part: &Part, width: Width) -> String {
    let mut text = format!("{}\n", styled(BOLD, &part.subsystem));
    let mut table = Table::new(["NAME", "DOES", "WHAT"].map(Column::text));
    for operation in &part.summary.operations {
        let (word, style) = (operation.verb.as_str(), style(operation));
        let mut details = operation.details.iter();
        let first = details.next().cloned().unwrap_or_default();
        table.styled_row([operation.target.clone(), word.to_owned(), first], 1, style);
        for detail in details {
            table.styled_row([operation.target.clone(), word.to_owned(), detail.clone()], 1, style);
        }
    }
    if !part.summary.operations.is_empty() {
        text.push_str(&table.render(width));
    }
    for note in &part.summary.notes {
        text.push_str(&format!("{}\n", printable(note)));
    }
    text
}

const fn style(operation: &Operation) -> anstyle::Style {
    match operation.verb {
        Verb::Create | Verb::Update | Verb::Adopt | Verb::Capture => GOOD,
        Verb::Remove => BUSY,
        Verb::Leave | Verb::Wait => DIM,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::plain;
    use super::*;

    #[test]
    fn every_subsystem_has_its_part_and_a_clean_one_none() {
        let operation = |verb, target: &str, details: &[&str]| Operation {
            verb,
            target: target.to_owned(),
            details: details.iter().map(|detail| (*detail).to_owned()).collect(),
        };
        let summary = Summary {
            operations: vec![
                operation(
                    Verb::Update,
                    "win11",
                    &["memory: 4096 -> 8192, at its next cold boot", "vcpus: 2 -> 4"],
                ),
                operation(Verb::Leave, "mine", &["there is a VM of that name that was not made here"]),
            ],
            notes: vec!["old: it was made from the manifest and is no longer in it".to_owned()],
        };
        let part = |subsystem: &str, summary| Part { subsystem: subsystem.to_owned(), summary };
        let outcome = WholeOutcome {
            dry_run: true,
            subsystems: vec![part("lamps", Summary::default()), part("vm", summary)],
            done: Vec::new(),
            warnings: Vec::new(),
            clean: false,
        };
        insta::assert_snapshot!(plain(&whole(&outcome, Width::Unlimited)), @r"
        vm
        NAME   DOES    WHAT
        win11  update  memory: 4096 -> 8192, at its next cold boot
        win11  update  vcpus: 2 -> 4
        mine   leave   there is a VM of that name that was not made here
        old: it was made from the manifest and is no longer in it
        Nothing was changed
        ");
        let clean = DriftOutcome { subsystems: vec![part("vm", Summary::default())], clean: true };
        assert_eq!(plain(&drift(&clean, Width::Unlimited)), "Nothing differs\n");
    }
}
