//! `docs/exit-codes.md`: what each exit code means. Tests: below.

use plasmavmc_term::exit::{
    PENDING, PROGRAM_FAILED, PROGRAM_NOT_FOUND, PROGRAM_NOT_RUNNABLE, USAGE_BESIDE_PENDING, exit_code_table,
};

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
    text.push_str(&comparisons());
    text
}

/// What commands end with that compare.
fn comparisons() -> String {
    format!(
        "\n## `bkt`\n\n`bkt` compares a manifest with a host, and 2 is what it has to say most often. So its usage errors \
         have another code; everything else is as above.\n\n\
         | code | meaning |\n| ---: | --- |\n\
         | 0 | everything is as the manifest has it, or was made so |\n\
         | {PENDING} | changes are pending: a dry run that would change something, a change that is blocked or waits \
         for a flag, or drift, which is what somebody changed by hand |\n\
         | {USAGE_BESIDE_PENDING} | the command line asks for something that does not exist or does not fit together \
         (`kind` is `usage`) |\n\n\
         A change that was made and waits for a running VM's next cold boot is pending too.\n"
    )
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
