//! The answer of `castra doctor`.

use plasmavmc_term::styled;

use super::style::{BAD, BUSY, DIM, GOOD};
use crate::cli::face::View;
use crate::core::doctor::{Check, CheckStatus, DoctorOutcome};

/// The measurements of the accelerators stand among the details of their check already.
pub(crate) fn doctor(outcome: &DoctorOutcome, _: View) -> String {
    let width = outcome.checks.iter().map(|check| check.name.title().len()).max().unwrap_or(0);
    let mut text: String = outcome.checks.iter().map(|check| one_check(check, width)).collect();
    text.push_str(match outcome.status {
        CheckStatus::Ok => "\nEverything is as it should be\n",
        CheckStatus::Warning => "\nVMs run here, with the remarks above\n",
        CheckStatus::Problem => "\nSomething above does not work\n",
    });
    text
}

fn one_check(check: &Check, width: usize) -> String {
    // The word tells; the colour only helps to find it.
    let (word, style) = match check.status {
        CheckStatus::Ok => ("ok     ", GOOD),
        CheckStatus::Warning => ("warning", BUSY),
        CheckStatus::Problem => ("problem", BAD),
    };
    let mut text = format!("{}  {:width$}  {}\n", styled(style, word), check.name.title(), check.summary);
    let indent = " ".repeat(word.len() + 2 + width + 2);
    for detail in &check.details {
        text.push_str(&format!("{indent}{}\n", styled(DIM, &plasmavmc_term::text::printable(detail))));
    }
    for hint in &check.hints {
        text.push_str(&format!("{indent}hint: {hint}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::samples::{WIDE, plain};
    use super::*;
    use crate::core::doctor::CheckName;

    #[test]
    fn findings_come_with_what_to_do() {
        let check = |name, status, summary: &str| Check {
            name,
            status,
            summary: summary.to_owned(),
            details: Vec::new(),
            hints: Vec::new(),
        };
        let outcome = DoctorOutcome {
            status: CheckStatus::Warning,
            checks: vec![
                check(CheckName::Qemu, CheckStatus::Ok, "QEMU 10.0.2 at /usr/bin/qemu-system-x86_64"),
                Check {
                    details: vec!["tools: mtools".to_owned()],
                    hints: vec!["install it: `sudo apt-get install mtools`".to_owned()],
                    ..check(CheckName::ImageBuild, CheckStatus::Warning, "1 tool is missing")
                },
            ],
            accelerators: Vec::new(),
        };
        insta::assert_snapshot!(plain(&doctor(&outcome, WIDE)), @r"
        ok       QEMU         QEMU 10.0.2 at /usr/bin/qemu-system-x86_64
        warning  image build  1 tool is missing
                              tools: mtools
                              hint: install it: `sudo apt-get install mtools`

        VMs run here, with the remarks above
        ");
    }
}
