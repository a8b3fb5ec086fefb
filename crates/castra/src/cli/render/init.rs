//! The answer of `castra init`.

use super::style::path;
use crate::cli::face::View;
use crate::core::init::{FIRST_PORT, InitOutcome};

pub(crate) fn init(outcome: &InitOutcome, _: View) -> String {
    let verb = if outcome.replaced { "Replaced" } else { "Wrote" };
    let port = match outcome.ssh_port {
        FIRST_PORT => String::new(),
        port => format!("SSH is forwarded from port {port}: other projects have {FIRST_PORT}\n\n"),
    };
    format!(
        "{verb} {}, project `{}`\n\
         \n\
         {port}\
         VMs, images and logs will be in\n  {}\n\
         With `state_dir = \"{}\"` under [project] they would be in\n  {}\n\
         \n\
         Next: `castra up` starts the VM\n",
        path(&outcome.config),
        outcome.project,
        path(&outcome.workspace),
        outcome.local_state_dir,
        path(&outcome.local_workspace),
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples::WIDE;
    use super::*;

    #[test]
    fn both_places_are_told() {
        let outcome = InitOutcome {
            config: "/src/shop/castra.toml".into(),
            replaced: false,
            project: "shop".to_owned(),
            id: "shop-0123456789ab".parse().unwrap(),
            workspace: "/home/me/.castra/projects/shop-0123456789ab".into(),
            local_workspace: "/src/shop/.castra".into(),
            local_state_dir: ".castra".to_owned(),
            ssh_port: 2222,
        };
        let second = init(&InitOutcome { ssh_port: 2224, ..outcome.clone() }, WIDE);
        assert!(second.contains("\nSSH is forwarded from port 2224: other projects have 2222\n"), "{second}");
        insta::assert_snapshot!(init(&outcome, WIDE), @r#"
        Wrote /src/shop/castra.toml, project `shop`

        VMs, images and logs will be in
          /home/me/.castra/projects/shop-0123456789ab
        With `state_dir = ".castra"` under [project] they would be in
          /src/shop/.castra

        Next: `castra up` starts the VM
        "#);
    }
}
