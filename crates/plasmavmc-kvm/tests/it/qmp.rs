//! The control protocol against the installed QEMU.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};

use plasmavmc_host::socket::{self, Connected};
use plasmavmc_kvm::qmp::{Codec, Message, NAMES};

use crate::bench::{Bench, PATIENCE};

/// Asks QEMU for the description of everything it takes, and returns the names of its commands.
fn commands(bench: &Bench) -> BTreeSet<String> {
    let connected = socket::connect(bench.layout().root(), "web.qmp").unwrap();
    let Connected::Stream(mut stream) = connected else { panic!("not connected") };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-qmp-schema\",\"id\":7}\n";
    stream.write_all(request).unwrap();
    let mut codec = Codec::new();
    for line in BufReader::new(stream).split(b'\n') {
        let line = [line.unwrap(), b"\n".to_vec()].concat();
        for message in codec.push(&line).unwrap() {
            if let Message::Return { id: Some(7), value } = message {
                let entries = value.as_array().unwrap().iter();
                let commands = entries.filter(|entry| entry["meta-type"] == "command");
                return commands.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
            }
        }
    }
    panic!("QEMU closed the connection");
}

#[test]
fn every_command_that_is_sent_exists_in_the_installed_qemu() {
    let bench = Bench::new();
    bench.start("web");
    let commands = commands(&bench);
    let missing: Vec<&&str> = NAMES.iter().filter(|name| !commands.contains(**name)).collect();
    assert!(missing.is_empty(), "QEMU has no {missing:?}");
}
