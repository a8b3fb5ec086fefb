//! The answer of `castra ssh-config`: what ssh reads, and nothing else, or where it is.

use crate::cli::face::View;
use crate::core::ssh::SshConfigOutcome;

pub(crate) fn ssh_config(outcome: &SshConfigOutcome, _: View) -> String {
    match (&outcome.path, &outcome.include) {
        (Some(path), Some(include)) => format!(
            "Wrote {}\n\nThis line, at the top of ~/.ssh/config, makes ssh and what uses it know the guests:\n  {include}\n",
            path.display()
        ),
        _ => outcome.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::WIDE;
    use super::*;

    #[test]
    fn what_is_printed_is_for_ssh_and_what_was_written_is_told() {
        let mut outcome = SshConfigOutcome {
            workspace: "shop-0123456789ab".parse().unwrap(),
            hosts: Vec::new(),
            text: "Host web\n".to_owned(),
            path: None,
            include: None,
        };
        assert_eq!(ssh_config(&outcome, WIDE), "Host web\n");
        outcome.path = Some("/state/ssh_config".into());
        outcome.include = Some("Include \"/state/ssh_config\"".to_owned());
        insta::assert_snapshot!(ssh_config(&outcome, WIDE), @r#"
        Wrote /state/ssh_config

        This line, at the top of ~/.ssh/config, makes ssh and what uses it know the guests:
          Include "/state/ssh_config"
        "#);
    }
}
