//! `bkt completions` and `bkt man`.

use crate::env::TestEnv;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = env.bkt(["completions", shell]).ended(0);
        for word in ["capture", "take-theirs", "against"] {
            assert!(answer.stdout.contains(word), "{shell} does not know {word}");
        }
        assert!(answer.stderr.is_empty(), "{answer}");
    }
    env.bkt(["completions", "csh"]).ended(64);
}

#[test]
fn the_script_for_bash_is_one_bash_understands() {
    let env = TestEnv::new();
    let path = env.write("bkt.bash", env.bkt(["completions", "bash"]).ended(0).stdout);
    assert!(std::process::Command::new("bash").arg("-n").arg(path).status().unwrap().success());
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let env = TestEnv::new();
    env.bkt(["man", "--out", "man"]).ended(0);
    let pages = TestEnv::tree(&env.repo().join("man"));
    for page in ["bkt.1", "bkt-vm.1", "bkt-vm-sync.1", "bkt-drift.1"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
        assert!(env.read(&format!("man/{page}")).contains(".TH"), "{page} is no manual page");
    }
    assert!(env.bkt(["man"]).ended(0).stdout.contains(".TH bkt 1"));
}
