//! Programs: how they end, what they read and write, signals and terminals.

use std::fs;
use std::time::{Duration, Instant};

use castra_agent_proto::limits::WINDOW;
use castra_agent_proto::message::stream_frame;
use castra_agent_proto::request::{Exec, FailureCode, Outcome, Request, Signal, Size, Terminal};
use castra_agent_proto::window::credit;
use castra_agent_proto::{Frame, Kind};

use crate::host::{Host, eventually, shell, text};

fn failure_of(outcome: Option<&Outcome>) -> Option<FailureCode> {
    match outcome {
        Some(Outcome::Failed(failure)) => Some(failure.code),
        _ => None,
    }
}

#[test]
fn exit_codes_and_both_outputs_come_back() {
    let mut host = Host::greeted();
    let got = host.sh("echo out; echo err >&2; exit 3");
    assert_eq!((got.code(), got.text().as_str(), got.stderr.as_slice()), (Some(3), "out\n", &b"err\n"[..]));
    assert!(got.opened.unwrap().pid.is_some());
    let got = host.sh("kill -9 $$");
    assert_eq!(got.outcome, Some(Outcome::Signaled { signal: 9 }));
}

#[test]
fn a_program_has_the_variables_and_the_directory_it_was_given() {
    let mut host = Host::greeted();
    let mut exec = shell("echo $GREETING; pwd; echo ${HOME:+home}; read x || echo no input");
    exec.env = vec![("GREETING".into(), "hello  there".into())];
    exec.cwd = Some("/usr".into());
    let got = host.ask(&Request::Exec(exec));
    assert_eq!(got.text(), "hello there\n/usr\nhome\nno input\n");
}

#[test]
fn what_is_not_there_is_told_before_anything_runs() {
    let mut host = Host::greeted();
    let of = |change: fn(&mut Exec)| {
        let mut exec = shell("true");
        change(&mut exec);
        Request::Exec(exec)
    };
    for (request, code) in [
        (of(|it| it.argv = vec!["no-such-program".into()]), FailureCode::NotFound),
        (of(|it| it.user = Some("no-such-user".into())), FailureCode::NotFound),
        (of(|it| it.cwd = Some("/no/such".into())), FailureCode::NotFound),
        (of(|it| it.env = vec![("A=B".into(), String::new())]), FailureCode::Invalid),
        (of(|it| it.argv = vec!["sh".into(), "\0".into()]), FailureCode::Invalid),
    ] {
        let got = host.ask(&request);
        assert_eq!((failure_of(got.outcome.as_ref()), got.opened), (Some(code), None), "{request:?}");
    }
    let got = host.ask(&of(|it| it.argv = vec!["/etc/passwd".into()]));
    assert_eq!(got.code(), Some(126));
    assert!(String::from_utf8(got.stderr).unwrap().starts_with("castra-agent: cannot run `/etc/passwd`"));
}

#[test]
fn a_program_becomes_the_user_it_is_asked_to_be() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut host = Host::greeted();
    let mut exec = shell("id -un; id -G; echo $HOME");
    exec.user = Some("nobody".into());
    let got = host.ask(&Request::Exec(exec));
    let lines: Vec<String> = got.text().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "nobody", "{got:?}");
    assert_eq!(lines[1].split(' ').count(), 1, "root's groups are left behind: {got:?}");
}

#[test]
fn a_program_hears_the_signals_that_who_started_the_agent_ignores() {
    let child = format!(
        "exec {} exec-child - - / grep grep SigIgn /proc/self/status",
        env!("CARGO_BIN_EXE_castra-agent")
    );
    let script = format!("trap '' HUP INT QUIT TERM TSTP TTIN TTOU; {child}");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mask = u64::from_str_radix(text.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(mask & 0x38_4007, 0, "{text}");
}

#[test]
fn input_arrives_whole_and_ends() {
    let mut host = Host::greeted();
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut exec = shell("cat");
    exec.stdin = true;
    let stream = host.open(&Request::Exec(exec));
    let got = host.finish(stream, &input);
    assert_eq!(got.code(), Some(0));
    assert!(got.data == input, "{} bytes came back", got.data.len());
}

#[test]
fn input_that_nobody_reads_is_no_fault() {
    let mut host = Host::greeted();
    let mut exec = shell("exec <&-; sleep 0.1; exit 7");
    exec.stdin = true;
    let stream = host.open(&Request::Exec(exec));
    assert_eq!(host.finish(stream, &vec![0; 2_000_000]).code(), Some(7));
}

#[test]
fn a_reader_that_is_slow_gets_all_of_it_and_one_that_never_reads_stops_the_program() {
    let mut host = Host::greeted();
    let stream = host.open(&Request::Exec(shell("head -c 100000000 /dev/zero; echo end >&2")));
    let mut got = 0;
    while got < WINDOW as usize {
        let frame = host.next_frame();
        if frame.kind == Kind::Data {
            got += frame.payload.len();
        }
    }
    // The window is used up: nothing may follow, and the agent answers all the same.
    std::thread::sleep(Duration::from_millis(300));
    host.settle();
    host.send(&Frame::stream(Kind::Credit, stream, credit(WINDOW)));
    let rest = host.finish(stream, &[]);
    assert_eq!((rest.code(), rest.stderr.as_slice()), (Some(0), &b"end\n"[..]));
    assert_eq!(got + rest.data.len(), 100_000_000);
}

#[test]
fn a_signal_reaches_the_program_and_what_it_started() {
    let mut host = Host::greeted();
    let script = "trap 'echo caught; exit 5' USR1; echo ready; sleep 1000 & wait; wait";
    let stream = host.open(&Request::Exec(shell(script)));
    while host.next_frame().kind != Kind::Data {}
    host.send(&stream_frame(Kind::Signal, stream, &Signal { signal: "NONSENSE".into() }));
    host.send(&stream_frame(Kind::Signal, stream, &Signal { signal: "USR1".into() }));
    let got = host.finish(stream, &[]);
    assert_eq!((got.code(), got.text().as_str()), (Some(5), "caught\n"));
}

#[test]
fn a_process_left_behind_does_not_hold_the_end_up() {
    let mut host = Host::greeted();
    let began = Instant::now();
    let got = host.sh("sleep 1000 & echo $!");
    assert_eq!(got.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
    let pid = rustix::process::Pid::from_raw(got.text().trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was left alone");
}

#[test]
fn cancel_ends_the_program_and_says_nothing_more() {
    let mut host = Host::greeted();
    let file = host.path("pid");
    let script = format!("trap '' HUP TERM; echo $$ >{0}.part; mv {0}.part {0}; sleep 1000", text(&file));
    let stream = host.open(&Request::Exec(shell(&script)));
    eventually("the script", || file.exists());
    let stat = format!("/proc/{}/stat", fs::read_to_string(&file).unwrap().trim());
    host.send(&Frame::stream(Kind::Cancel, stream, []));
    eventually("its end", || !fs::exists(&stat).unwrap());
    host.settle();
    assert_eq!(host.sh("exit 0").code(), Some(0));
}

#[test]
fn cancel_ends_what_a_program_started_although_the_program_went_first() {
    let mut host = Host::greeted();
    let file = host.path("pid");
    let inner = format!("trap \"\" HUP TERM; echo $$ >{0}.part; mv {0}.part {0}; sleep 1000", text(&file));
    let stream = host.open(&Request::Exec(shell(&format!("sh -c '{inner}' & wait"))));
    eventually("the script", || file.exists());
    let stat = format!("/proc/{}/stat", fs::read_to_string(&file).unwrap().trim());
    host.send(&Frame::stream(Kind::Cancel, stream, []));
    let ended = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    eventually("its end", ended);
    host.settle();
}

#[test]
fn a_terminal_is_one_and_has_a_size_that_changes() {
    let mut host = Host::greeted();
    let mut exec = shell("tty >/dev/null && stty size; echo $TERM; read x; stty size; read y || echo over");
    exec.terminal = Some(Terminal { term: "xterm".into(), size: Size { columns: 81, rows: 23 } });
    exec.stdin = true;
    let stream = host.open(&Request::Exec(exec));
    let mut said = String::new();
    while !said.contains("xterm\r\n") {
        let frame = host.next_frame();
        if frame.kind == Kind::Data {
            said.push_str(&String::from_utf8_lossy(&frame.payload));
        }
    }
    assert!(said.starts_with("23 81\r\n"), "{said:?}");
    host.send(&stream_frame(Kind::Resize, stream, &Size { columns: 40, rows: 10 }));
    let got = host.finish(stream, b"go\n");
    assert_eq!(got.code(), Some(0));
    assert!(got.text().contains("10 40\r\n") && got.text().contains("over\r\n"), "{got:?}");
}

#[test]
fn no_program_means_the_users_login_shell() {
    let mut host = Host::greeted();
    let exec = Exec { argv: vec![], stdin: true, ..shell("") };
    let stream = host.open(&Request::Exec(exec));
    let got = host.finish(stream, b"echo $0; exit 6\n");
    assert_eq!(got.code(), Some(6));
    assert!(got.text().starts_with('-'), "{got:?}");
}
