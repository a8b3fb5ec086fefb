//! Programs that end, hang, write too much, or are asked several things.

use rustix::process::{Pid, Signal};

use super::*;

fn sh(script: &str) -> Command {
    let mut command = Program::new("sh", "dash").command().unwrap();
    command.args(["-c", script]);
    command
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn both_outputs_are_read_whole_even_when_neither_fits_a_pipe() {
    let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; echo end; echo last >&2";
    let output = run(sh(script), LONG).unwrap();
    assert_eq!(output.stdout.len(), 300_004);
    assert_eq!(output.stderr.len(), STDERR_LIMIT);
    assert!(output.stdout.ends_with(b"end\n") && output.stderr.ends_with(b"last\n"));
}

#[test]
fn a_failure_tells_the_command_its_status_and_its_last_words() {
    let error = run(sh("echo 'no such disk' >&2; exit 3"), LONG).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("`sh -c 'echo '"), "{text}");
    assert!(text.ends_with("failed with exit status: 3: no such disk"), "{text}");
}

#[test]
fn a_late_program_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("sleep 600 & echo $! > '{0}'; echo $$ >> '{0}'; wait", pids.display());
    let start = Instant::now();
    let error = run(sh(&script), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, HostError::CommandTimedOut { bound_secs: 1, .. }), "{error}");
    assert!(start.elapsed() < LONG);
    let gone = |pid: &str| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
    };
    let text = std::fs::read_to_string(&pids).unwrap();
    assert_eq!(text.lines().count(), 2);
    castra_testkit::eventually("their end", || text.lines().all(gone));
}

#[test]
fn a_late_program_that_is_asked_gently_puts_its_things_away() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cd '{}'; touch left; trap 'head -c 300000 /dev/zero; rm left; exit 0' TERM; sleep 600 & wait",
        dir.path().display()
    );
    let error = run_gently(sh(&script), Duration::from_secs(1), LONG).unwrap_err();
    assert!(matches!(error, HostError::CommandTimedOut { bound_secs: 1, .. }), "{error}");
    assert!(!dir.path().join("left").exists());
}

#[test]
fn a_late_program_that_does_not_listen_is_killed_after_its_grace() {
    let start = Instant::now();
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    run_gently(sh(script), Duration::from_millis(200), Duration::from_millis(300)).unwrap_err();
    assert!((Duration::from_millis(500)..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[test]
fn a_grandchild_that_holds_the_output_open_is_not_waited_for() {
    let start = Instant::now();
    let output = run(sh("sleep 30 & echo $!"), LONG).unwrap();
    assert!(start.elapsed() < LONG);
    let pid = output.text().trim().parse().ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn a_program_without_end_is_stopped_at_the_limit() {
    let error = run(sh("yes"), LONG).unwrap_err();
    assert!(matches!(error, HostError::CommandWroteTooMuch { .. }), "{error}");
}

#[test]
fn a_missing_program_names_its_package() {
    let error = Program::new("no-such-program-of-ours", "its-package").command().unwrap_err();
    assert!(matches!(error, HostError::MissingProgram { package: "its-package", .. }), "{error}");
}

#[test]
fn only_executable_files_in_absolute_directories_are_found() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tool");
    std::fs::write(&file, "").unwrap();
    let find = |dir: &Path| find_in("tool", std::iter::once(dir.to_owned()));
    assert_eq!(find(dir.path()), None);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(find(dir.path()), Some(file));
    assert_eq!(find(Path::new(".")), None);
}

#[test]
fn a_command_line_is_shown_as_a_shell_would_take_it() {
    let mut command = Command::new("/usr/bin/qemu-img");
    command.args(["info", "", "a b", "it's"]);
    assert_eq!(shown(&command), r"qemu-img info '' 'a b' 'it'\''s'");
}

#[test]
fn a_program_is_fed_whole_while_it_writes_more_than_a_pipe_holds() {
    let input = vec![b'x'; 1 << 20];
    let output = run_with_input(sh("cat; cat >&2 <&-; true"), &input, LONG).unwrap();
    assert_eq!(output.stdout, input);
}

#[test]
fn a_program_need_not_read_what_it_is_fed() {
    let output = run_with_input(sh("exec <&-; echo done"), &vec![b'x'; 1 << 20], LONG).unwrap();
    assert_eq!(output.stdout, b"done\n");
    let output = run_with_input(sh("cat; echo done"), b"", LONG).unwrap();
    assert_eq!(output.stdout, b"done\n");
}

fn line(output: &[u8]) -> bool {
    output.ends_with(b"\n")
}

#[test]
fn a_dialogue_asks_again_after_an_answer() {
    let mut dialogue =
        Dialogue::start(sh("while read x; do echo \"heard $x\"; echo \"said $x\" >&2; done")).unwrap();
    for word in ["a", "b"] {
        let question = format!("{word}\n");
        let answer = dialogue.ask(question.as_bytes(), LONG, 100, &mut line).unwrap();
        assert_eq!(answer, format!("heard {word}\n").as_bytes());
    }
    dialogue.ask(b"c\n", LONG, 100, &mut line).unwrap();
    let start = Instant::now();
    let mut said = Vec::new();
    while !said.ends_with(b"c\n") && start.elapsed() < LONG {
        said.extend(dialogue.take_stderr().unwrap());
    }
    assert_eq!(said, b"said a\nsaid b\nsaid c\n");
}

#[test]
fn a_dialogue_tells_silence_from_an_early_end_and_from_too_much() {
    let ask = |script, limit| {
        let bound = Duration::from_secs(1);
        Dialogue::start(sh(script)).unwrap().ask(b"x\n", bound, limit, &mut line).unwrap_err()
    };
    let late = ask("sleep 600", 100);
    assert!(matches!(late, HostError::CommandTimedOut { bound_secs: 1, .. }), "{late}");
    let ended = ask("printf half; echo why >&2; exit 4", 100);
    assert!(
        ended.to_string().ends_with("ended with exit status: 4 in the middle of an answer: why"),
        "{ended}"
    );
    let much = ask("yes | tr -d '\\n'", 100);
    assert!(matches!(much, HostError::CommandWroteTooMuch { limit: 100, .. }), "{much}");
}
