//! How long it takes to see a hundred domains.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use castra_testkit::libvirt::{Libvirt, SYSTEM};
use plasmavmc_libvirt::virsh::Connection;

/// Domains of the comparison.
const MANY: usize = 100;

/// What one observation may take of what a shell loop takes.
const MOST: f64 = 0.3;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_hundred_domains_are_seen_in_a_fraction_of_a_shell_loop() {
    let lab = Libvirt::system();
    let mut commands = String::new();
    for index in 0..MANY {
        let file = lab.dir().join(format!("{index}.xml"));
        std::fs::write(&file, lab.small_domain(&index.to_string())).unwrap();
        commands.push_str(&format!("define {}; ", file.display()));
    }
    lab.virsh(&[&commands]);
    let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
    let ids: Vec<String> = {
        let all = connection.reader().observe().unwrap();
        all.iter().filter(|it| it.name.starts_with(lab.prefix())).map(|it| it.id.to_string()).collect()
    };
    assert_eq!(ids.len(), MANY);
    let (mut ours, mut loops) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let start = Instant::now();
        assert!(connection.reader().observe().unwrap().len() >= MANY);
        ours.push(start.elapsed());
        let start = Instant::now();
        let script =
            format!("for id in {}; do virsh -r -c {SYSTEM} dumpxml $id || exit 1; done", ids.join(" "));
        let status = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
        loops.push(start.elapsed());
    }
    let (ours, shell) = (median(ours), median(loops));
    let ratio = ours.as_secs_f64() / shell.as_secs_f64();
    assert!(ratio <= MOST, "{ours:?} against {shell:?}: {ratio:.3}");
}
