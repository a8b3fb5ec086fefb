//! `castra completions` and `castra man`.

use std::fs;

use crate::env::TestEnv;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = env.castra(["completions", shell]).succeeded();
        for word in ["console", "--allow-synthetic", "--follow"] {
            assert!(answer.stdout.contains(word.trim_start_matches('-')), "{shell} does not know {word}");
        }
        assert!(answer.stderr.is_empty(), "{answer}");
    }
    env.castra(["completions", "csh"]).failed(2);
}

#[test]
fn the_script_for_bash_is_one_bash_understands() {
    let env = TestEnv::new();
    let script = env.castra(["completions", "bash"]).succeeded().stdout;
    let path = env.write("castra.bash", script);
    let status = std::process::Command::new("bash").arg("-n").arg(path).status().unwrap();
    assert!(status.success());
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let env = TestEnv::new();
    env.castra(["man", "--out", "man"]).succeeded();
    let pages = TestEnv::tree(&env.project().join("man"));
    for page in ["castra.1", "castra-up.1", "castra-image-pull.1"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
        let text = fs::read_to_string(env.project().join("man").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page} is no manual page");
    }
    assert!(env.castra(["man"]).succeeded().stdout.contains(".TH castra 1"));
}
