//! What a guest's shell is told, where a bootstrap goes over SSH. Plain POSIX: the guest may have nothing but
//! busybox.
//!
//! A program runs in a session of its own. Its outputs pass through pipes with a reader each, so that what
//! it leaves behind in the background cannot hold the connection open. Standard input is a lifeline: once it
//! ends, whoever waited is gone, and the session with all it started is ended. Pure. Tests: below, by the
//! shell of this machine.

use super::super::guest::Program;
use super::super::record::MAX_RECORD;

/// The exit code of [`read`] where there is no such file.
pub(super) const MISSING: i32 = 44;

/// The file that says that a program really ended with 255, which is what ssh itself ends with where it fails.
pub(super) const ENDED: &str = "ended";

/// Where the login shell of everybody finds programs, after what the guest's own `PATH` says.
const PLACES: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The line that lets the user's shell run `script` as root.
pub(super) fn as_root(user: &str, script: &str) -> String {
    // Alpine has the one, the others the other.
    const BECOME: &str = "if command -v sudo >/dev/null; then exec sudo -n -H sh -c \"$1\"; fi; \
                          exec doas -n sh -c \"$1\"";
    match user {
        "root" => format!("sh -c {}", quoted(script)),
        _ => format!("sh -c {} castra {}", quoted(BECOME), quoted(script)),
    }
}

/// Gives the beginning of a file, or ends with [`MISSING`].
pub(super) fn read(path: &str) -> String {
    let path = quoted(path);
    format!("[ -e {path} ] || exit {MISSING}; head -c {MAX_RECORD} {path}")
}

/// Writes a file of `length` bytes from standard input; it has its name whole, or not at all.
pub(super) fn write(path: &str, mode: u32, modified_s: Option<i64>, length: u64) -> String {
    let modified =
        modified_s.map(|at| format!("touch -d @{at} \"$t\" 2>/dev/null || :\n")).unwrap_or_default();
    format!(
        "set -e\np={}\nd=${{p%/*}}\nt=$d/.castra-$$.part\ntrap 'rm -f \"$t\"' EXIT\numask 077\nmkdir -p \"$d\"\n\
         cat >\"$t\"\n[ $(wc -c <\"$t\") -eq {length} ] || {{ echo 'the connection broke' >&2; exit 1; }}\n\
         chmod {mode:o} \"$t\"\n{modified}mv -f \"$t\" \"$p\"\n",
        quoted(path)
    )
}

/// Makes a directory; one that is there is fine.
pub(super) fn make_dir(path: &str, mode: u32) -> String {
    let path = quoted(path);
    format!("mkdir -p {path} && chmod {mode:o} {path}")
}

/// Makes a symbolic link.
pub(super) fn link(path: &str, target: &str) -> String {
    format!("ln -sfn -- {} {}", quoted(target), quoted(path))
}

/// Runs the file with what [`program`] gives.
pub(super) fn run(dir: &str) -> String {
    format!("exec sh {}", quoted(&format!("{dir}/run")))
}

/// Removes what a run left.
pub(super) fn remove(dir: &str) -> String {
    format!("rm -rf {}", quoted(dir))
}

/// A file for a shell that runs a program and ends as it does; `dir` is where the file is, and goes with it.
pub(super) fn program(dir: &str, program: &Program) -> String {
    let exports: String =
        program.env.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
    let argv: Vec<String> = program.argv.iter().map(|word| quoted(word)).collect();
    let cwd = program.cwd.as_ref().map(|cwd| format!("cd {} || exit 126\n", quoted(cwd))).unwrap_or_default();
    RUN.replace("@DIR@", &quoted(dir))
        .replace("@ENDED@", ENDED)
        .replace("@PLACES@", PLACES)
        .replace("@CWD@", &cwd)
        .replace("@EXPORTS@", &exports)
        .replace("@ARGV@", &argv.join(" "))
}

const RUN: &str = r#"exec 3<&0 </dev/null
d=@DIR@
mkfifo "$d/out" "$d/err" || exit 126
signal() {
	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		pid=${line%% *}
		set -- "$1" ${line##*) }
		if [ "$5" = "$leader" ]; then kill "-$1" "$pid"; fi
	done
}
cat "$d/out" 3<&- &
out=$!
cat "$d/err" >&2 3<&- &
err=$!
(
	exec 3<&-
	export HOME="${HOME:-/root}" USER=root LOGNAME=root SHELL=/bin/sh PATH="$PATH:@PLACES@"
	@EXPORTS@	@CWD@	exec setsid @ARGV@
) >"$d/out" 2>"$d/err" &
leader=$!
{
	cat <&3
	echo >"$d/abandoned"
	signal HUP
	sleep 1
	signal KILL
} >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$leader" 2>/dev/null
status=$?
if [ -e "$d/abandoned" ]; then signal KILL; fi
{
	sleep 1
	kill "$out" "$err"
} >/dev/null 2>&1 &
late=$!
wait "$out" "$err" 2>/dev/null
kill "$late" "$watch" 2>/dev/null
if [ "$status" -eq 255 ]; then echo >"$d/@ENDED@"; else rm -rf "$d"; fi
exit "$status"
"#;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::process::{Child, Command, Output, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    fn sh(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn fed(script: &str, input: &[u8]) -> Output {
        let mut child = sh(script);
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a line of shell as a bootstrap's program, with the lifeline held.
    fn ran(dir: &Path, line: &str, env: &[(&str, &str)]) -> (Output, Duration) {
        let began = Instant::now();
        let mut child = started(dir, line, env);
        let lifeline = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(lifeline);
        (output, began.elapsed())
    }

    fn started(dir: &Path, line: &str, env: &[(&str, &str)]) -> Child {
        let dir = dir.join("a run's");
        fs::create_dir(&dir).unwrap();
        let dir = dir.to_str().unwrap();
        let argv = vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let text = program(dir, &Program { argv, env, cwd: Some("/".to_owned()) });
        fs::write(format!("{dir}/run"), text).unwrap();
        sh(&run(dir))
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/it's a file");
        let text = path.to_str().unwrap();
        assert!(fed(&write(text, 0o640, Some(1_000), 3), b"one").status.success());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o640, 1_000));
        let half = fed(&write(text, 0o600, None, 9), b"half");
        assert!(!half.status.success() && half.stderr.starts_with(b"the connection broke"), "{half:?}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "half a file is left");
        assert_eq!(fed(&read(text), b"").stdout, b"one");
        assert_eq!(fed(&read(&format!("{text}2")), b"").status.code(), Some(MISSING));
    }

    #[test]
    fn directories_and_links_are_made_twice_as_well_as_once() {
        let dir = tempfile::tempdir().unwrap();
        let (made, link_path) = (dir.path().join("a/b"), dir.path().join("a/-link"));
        for target in ["-x y", "../it's"] {
            assert!(fed(&make_dir(made.to_str().unwrap(), 0o750), b"").status.success());
            assert!(fed(&link(link_path.to_str().unwrap(), target), b"").status.success());
            assert_eq!(fs::read_link(&link_path).unwrap(), Path::new(target));
        }
    }

    #[test]
    fn a_program_has_its_words_its_outputs_and_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let line = "printf '%s|' \"$A\" \"$PWD\"; echo bad >&2; cat; exit 7";
        let (output, _) = ran(dir.path(), line, &[("A", "it's $HOME\n\"x\"")]);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's $HOME\n\"x\"|/|");
        assert_eq!(output.stderr, b"bad\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a run leaves something behind");
        let (output, _) = ran(dir.path(), "exit 255", &[]);
        assert_eq!(output.status.code(), Some(255));
        assert!(dir.path().join("a run's").join(ENDED).exists(), "nothing says that it ended");
    }

    #[test]
    fn what_a_program_leaves_in_the_background_holds_nobody_up_and_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let line = format!("sleep 600 & echo $! >'{}'; echo done", pid.display());
        let (output, took) = ran(dir.path(), &line, &[]);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"done\n"[..]), "{output:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        let pid = fs::read_to_string(&pid).unwrap();
        assert!(fed(&format!("kill {pid}"), b"").status.success(), "it was ended");
    }

    #[test]
    fn a_program_nobody_waits_for_is_ended_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let line = format!(
            "(trap '' HUP; sleep 600 & echo $! >>'{0}'; wait) & echo $$ >>'{0}'; wait",
            pids.display()
        );
        let mut child = started(dir.path(), &line, &[]);
        let began = Instant::now();
        let lines = || fs::read_to_string(&pids).unwrap_or_default().lines().count();
        while lines() < 2 {
            assert!(began.elapsed() < Duration::from_secs(20), "it never began");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + 1), "{output:?}");
        for pid in fs::read_to_string(&pids).unwrap().lines() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let gone = stat.is_empty() || stat.contains(") Z ");
            assert!(gone, "{pid} is still there: {stat}");
        }
    }

    #[test]
    fn who_is_not_root_becomes_it_by_what_the_guest_has() {
        assert_eq!(as_root("root", "echo 'a'"), r"sh -c 'echo '\''a'\'''");
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/sh", dir.path().join("sh")).unwrap();
        for (name, expected) in [("doas", "doas -n it's\n"), ("sudo", "sudo -n -H it's\n")] {
            let words = "while [ \"$1\" != sh ]; do printf '%s ' \"$1\"; shift; done; exec \"$@\"";
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\nprintf '{name} '; {words}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let line = format!("PATH={}; {}", dir.path().display(), as_root("me", "echo \"it's\""));
            let output = fed(&line, b"");
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
        }
    }
}
