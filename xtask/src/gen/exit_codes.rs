//! `docs/exit-codes.md`: what each exit code means. Tests: below.

use plasmavmc_term::exit::exit_code_table;

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
    text
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
