//! A libvirt that is down, hung, killed or broken, and a virsh that is missing or mad.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use castra_testkit::eventually;
use castra_testkit::libvirt::PrivateDaemon;
use plasmavmc_host::HostError;
use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_libvirt::virsh::{Connection, VirshError};
use plasmavmc_types::{ErrorKind, Explain, VmId, repeated_source};

use crate::fake::Fake;

const BOUND: Duration = Duration::from_secs(1);

fn with(fake: &Fake) -> Connection {
    Connection::with_virsh(fake.path(), Some("qemu:///system".to_owned())).unwrap().with_question_bound(BOUND)
}

/// Within its bound, and with room for a busy machine.
fn soon(start: Instant) {
    assert!(start.elapsed() < BOUND + Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_daemon_that_is_down_says_how_to_start_it() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gone").display().to_string();
    let connection = Connection::new(Some(format!("qemu+unix:///system?socket={socket}"))).unwrap();
    for error in [connection.reader().observe().unwrap_err(), connection.reader().uri().unwrap_err()] {
        assert!(matches!(error, VirshError::Unreachable { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "no libvirt answers at qemu+unix:///system?socket={socket}: Failed to connect socket to \
                 '{socket}': No such file or directory"
            )
        );
        assert_eq!(error.kind(), ErrorKind::Preflight);
        assert!(error.hints()[0].contains("systemctl start libvirtd"), "{:?}", error.hints());
    }
}

#[test]
fn a_daemon_that_takes_connections_and_never_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let uri = format!("test+unix:///default?socket={}", socket.display());
    let connection = Connection::new(Some(uri)).unwrap().with_question_bound(BOUND);
    let start = Instant::now();
    let error = connection.reader().observe().unwrap_err();
    soon(start);
    assert!(matches!(error, VirshError::TimedOut { bound: BOUND, .. }), "{error:?}");
    assert!(error.to_string().ends_with("did not list its domains within 1 s"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.hints().iter().any(|hint| hint.contains("restart libvirtd")), "{:?}", error.hints());
}

#[test]
fn a_real_daemon_that_hangs_and_then_dies_is_told_apart() {
    let daemon = PrivateDaemon::start();
    let _held = daemon.hold();
    let connection = Connection::new(Some(daemon.uri())).unwrap().with_question_bound(BOUND);
    assert_eq!(connection.reader().observe().unwrap().len(), 1);
    daemon.signal("STOP");
    let start = Instant::now();
    let error = connection.reader().observe().unwrap_err();
    soon(start);
    assert!(matches!(error, VirshError::TimedOut { .. }), "{error:?}");
    daemon.signal("CONT");
    assert_eq!(connection.reader().observe().unwrap().len(), 1, "it is usable again");
    daemon.signal("KILL");
    let error = connection.reader().observe().unwrap_err();
    assert!(matches!(error, VirshError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_daemon_that_dies_between_two_answers_is_no_empty_host() {
    let daemon = PrivateDaemon::start();
    let _held = daemon.hold();
    let pid = daemon.pid();
    // Killed as soon as the first dump is asked for.
    let fake = Fake::script(&format!(
        "while read -r line; do\n case $line in 'domstate '*) kill -s KILL {pid}; sleep 0.3 ;; esac\n \
         printf '%s\\n' \"$line\"\ndone | virsh \"$@\""
    ));
    let connection = Connection::with_virsh(fake.path(), Some(daemon.uri())).unwrap();
    let error = connection.reader().observe().unwrap_err();
    assert!(matches!(error, VirshError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_virsh_that_is_missing_names_its_package() {
    let connection = Connection::with_virsh("/nonexistent/virsh", None).unwrap();
    let error = connection.reader().observe().unwrap_err();
    assert!(matches!(error, VirshError::Host { source: HostError::Spawn { .. } }), "{error:?}");
    assert_eq!(repeated_source(&error), None);
    // The installed one is looked for where programs are: without it this is what a person sees.
    let missing = HostError::MissingProgram { program: "virsh".to_owned(), package: "libvirt-clients" };
    assert_eq!(
        VirshError::Host { source: missing }.hints(),
        ["install it: `sudo apt-get install libvirt-clients`"]
    );
}

#[test]
fn what_is_no_uri_is_refused_before_anything_runs() {
    for uri in ["", "--help", "-c", "qemu:///system\nlist"] {
        let error = Connection::new(Some(uri.to_owned())).unwrap_err();
        assert!(matches!(error, VirshError::BadUri { .. }), "{uri:?}");
    }
}

#[test]
fn a_virsh_that_hangs_is_ended_with_its_children() {
    let fake = Fake::script("sleep 600 & echo $! >>\"$LOG\"; echo $$ >>\"$LOG\"; wait");
    let start = Instant::now();
    assert!(matches!(with(&fake).reader().observe(), Err(VirshError::TimedOut { .. })));
    soon(start);
    let pids = fake.calls();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        };
        eventually("its end", gone);
    }
}

#[test]
fn a_virsh_that_is_killed_or_talks_nonsense_is_an_error_never_an_empty_host() {
    for (body, expected) in [
        ("kill -KILL $$", "virsh ended without a word"),
        ("exit 0", "virsh ended without a word"),
        ("echo 'error: the cat is on the keyboard' >&2; exit 1", "the cat is on the keyboard"),
    ] {
        let error = with(&Fake::script(body)).reader().observe().unwrap_err();
        assert!(error.to_string().ends_with(expected), "{body}: {error}");
    }
    // It answers every `echo` as it should, and everything else with nonsense.
    let echo = "while read -r line; do case $line in\n 'echo '*) eval \"$line\" ;;\n *) printf '%s\\n' ";
    for (answer, why) in [
        ("'domain: yes'", "a list of domains holds no UUID"),
        ("'<xml'", "a list of domains holds no UUID"),
        ("\"$(printf '\\377')\"", "it is not UTF-8"),
    ] {
        let error =
            with(&Fake::script(&format!("{echo}{answer} ;; esac; done"))).reader().observe().unwrap_err();
        assert!(error.to_string().ends_with(why), "{answer}: {error}");
    }
    let error = with(&Fake::script("yes")).reader().observe().unwrap_err();
    assert!(matches!(error, VirshError::Garbage { .. } | VirshError::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_state_that_has_no_name_is_not_guessed() {
    let id = VmId::generate();
    let fake = Fake::script(&format!(
        "while read -r line; do case $line in\n 'echo '*) eval \"$line\" ;;\n uri) echo qemu:///system ;;\n \
         'list --all --uuid') echo {id} ;;\n list*) ;;\n domstate*) echo 'dreaming (deeply)' ;;\n \
         *) echo '<domain><name>x</name></domain>' ;; esac; done"
    ));
    let error = with(&fake).reader().observe().unwrap_err();
    assert!(error.to_string().ends_with("libvirt told a state that has no name here"), "{error}");
}

#[test]
fn a_password_that_libvirt_quotes_is_in_no_error() {
    let daemon = PrivateDaemon::start();
    let connection = Connection::new(Some(daemon.uri())).unwrap();
    let xml = "<domain type='test'><name>x</name><memory>nonsense</memory><os><type>hvm</type></os>\
               <devices><graphics type='vnc' passwd='hunter2'/></devices></domain>";
    let error = connection.writer().define(&DomainXml::parse(xml).unwrap(), false).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    let fake = Fake::script("echo \"error: 7: mismatch <graphics passwd='hunter2'/>\" >&2; exit 1");
    let error = with(&fake).writer().define(&DomainXml::parse(xml).unwrap(), false).unwrap_err();
    assert!(error.to_string().ends_with("7: mismatch <graphics passwd=…/>"), "{error}");
}

#[test]
fn a_domain_that_is_not_there_is_none_for_a_reader_and_an_error_for_a_writer() {
    let daemon = PrivateDaemon::start();
    let connection = Connection::new(Some(daemon.uri())).unwrap();
    let id = VmId::generate();
    assert_eq!(connection.reader().observe_one(id).unwrap(), None);
    assert_eq!(connection.reader().inactive(id).unwrap(), None);
    assert_eq!(connection.reader().state(id).unwrap(), None);
    for error in [
        connection.writer().start(id).unwrap_err(),
        connection.writer().with_secrets(id).unwrap_err(),
        connection.writer().undefine_keeping(id).unwrap_err(),
    ] {
        assert!(matches!(&error, VirshError::NoDomain { id: of, .. } if *of == id), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
