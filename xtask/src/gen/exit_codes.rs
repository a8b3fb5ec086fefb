//! `docs/exit-codes.md`: what each exit code means. Tests: below.

use plasmavmc_term::exit::{PROGRAM_FAILED, PROGRAM_NOT_FOUND, PROGRAM_NOT_RUNNABLE, exit_code_table};

/// The text of the page.
pub(super) fn page() -> String {
    let mut text = format!(
        "# Exit codes\n\n{}\n\nEvery command ends with one of these. With `--json` a failure is one line on standard \
         output, `{{\"error\": {{\"kind\", \"message\", \"causes\", \"hints\"}}}}`, whose `kind` is the name below. A code \
         once released keeps its meaning.\n\n| code | kind | meaning |\n| ---: | --- | --- |\n",
        super::NOTICE
    );
    for row in exit_code_table() {
        text.push_str(&format!("| {} | `{}` | {} |\n", row.code, row.name, row.meaning));
    }
    text.push_str(
        "\nA reader that closes standard output (`castra logs | head`) is no failure: the command ends with 0.\n",
    );
    text.push_str(&programs());
    text
}

/// What commands end with that run a program in a guest.
fn programs() -> String {
    format!(
        "\n## Programs in guests\n\n`castra exec` and `castra shell` end with the program's own code, and with 128 and \
         the signal's number where a signal ended it. Where it was not run, the code is one of these; the `kind` of the \
         failure is still that of the table above. Options that cannot be understood end with 2.\n\n\
         | code | meaning |\n| ---: | --- |\n\
         | {PROGRAM_FAILED} | castra, the guest channel or the guest's agent failed, or the program was lost with its guest |\n\
         | {PROGRAM_NOT_RUNNABLE} | the program is there and cannot be run |\n\
         | {PROGRAM_NOT_FOUND} | the guest has no such program, user or directory |\n"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_a_row() {
        let page = super::page();
        for row in super::exit_code_table() {
            assert!(page.contains(&format!("| {} | `{}` |", row.code, row.name)), "{}", row.name);
        }
    }
}
