//! What the kernel tells of processes and sockets, in which program names are anyone's choice.

use plasmavmc_host::ports::parse_table;
use plasmavmc_host::process::Stat;
use plasmavmc_types::Protocol;

/// Identity depends on nothing before the end of a program's name; a table gives at most a socket a
/// line, and each line speaks for itself.
pub fn check(bytes: &[u8]) {
    let stat = Stat::parse(bytes);
    assert_eq!(Stat::parse(&[b"1 (", bytes].concat()), stat);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let table = parse_table(text, protocol);
        assert!(table.iter().all(|socket| socket.protocol == protocol));
        let line = |line| parse_table(&format!("head\n{line}"), protocol);
        assert_eq!(text.lines().skip(1).flat_map(line).collect::<Vec<_>>(), table);
    }
}
