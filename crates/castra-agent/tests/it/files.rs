//! Files, directories and links.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use castra_agent_proto::limits::WINDOW;
use castra_agent_proto::request::{Entry, EntryKind, FailureCode, Outcome, Request, Write};
use castra_agent_proto::window::credit;
use castra_agent_proto::{Frame, Kind};

use crate::host::{Got, Host, eventually, text};

fn write(path: &Path) -> Request {
    Request::Write(Write { path: text(path), mode: 0o640, owner: None, modified_s: Some(1_000_000) })
}

fn code(got: &Got) -> Option<FailureCode> {
    match &got.outcome {
        Some(Outcome::Failed(failure)) => Some(failure.code),
        _ => None,
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_gets_there_and_back_with_what_belongs_to_it() {
    let mut host = Host::greeted();
    let (path, bytes) = (host.path("file"), vec![42; 1_500_000]);
    fs::write(&path, "older").unwrap();
    let stream = host.open(&write(&path));
    assert_eq!(host.finish(stream, &bytes).outcome, Some(Outcome::Ok));
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o7777, meta.mtime()), (1_500_000, 0o640, 1_000_000));
    let got = host.ask(&Request::Read { path: text(&path) });
    assert!(got.data == bytes && got.outcome == Some(Outcome::Ok));
    let entry = got.opened.unwrap().entry.unwrap();
    assert_eq!((entry.kind, entry.size, entry.mode), (EntryKind::File, 1_500_000, 0o640));
}

#[test]
fn half_a_file_never_has_its_name_and_goes_with_its_stream() {
    let mut host = Host::greeted();
    let dir = host.path("there");
    fs::create_dir(&dir).unwrap();
    let path = dir.join("file");
    for ends_by_hello in [false, true] {
        let stream = host.open(&write(&path));
        host.send(&Frame::stream(Kind::Data, stream, vec![1; 1000]));
        eventually("the unfinished file", || !names(&dir).is_empty());
        assert!(!path.exists());
        if ends_by_hello {
            host.hello("again");
        } else {
            host.send(&Frame::stream(Kind::Cancel, stream, []));
        }
        eventually("its end", || names(&dir).is_empty());
    }
}

#[test]
fn holes_stay_holes_both_ways() {
    let mut host = Host::greeted();
    let path = host.path("sparse");
    let stream = host.open(&write(&path));
    host.send(&Frame::stream(Kind::Hole, stream, (1_u64 << 30).to_le_bytes()));
    host.send(&Frame::stream(Kind::Data, stream, *b"middle"));
    host.send(&Frame::stream(Kind::Hole, stream, (1_u64 << 20).to_le_bytes()));
    host.send(&Frame::stream(Kind::End, stream, []));
    assert_eq!(host.finish(stream, &[]).outcome, Some(Outcome::Ok));
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(meta.len(), (1 << 30) + 6 + (1 << 20));
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());

    let small = host.path("small");
    let file = File::create(&small).unwrap();
    file.write_all_at(b"x", 1 << 20).unwrap();
    file.set_len(3 << 20).unwrap();
    let got = host.ask(&Request::Read { path: text(&small) });
    assert!(got.holes >= 2 << 20, "{} bytes of holes", got.holes);
    assert!(got.data == fs::read(&small).unwrap());
}

#[test]
fn a_file_without_a_length_is_read_to_its_end() {
    let mut host = Host::greeted();
    let got = host.ask(&Request::Read { path: "/proc/version".into() });
    assert_eq!(got.data, fs::read("/proc/version").unwrap());
    let empty = host.path("empty");
    fs::write(&empty, "").unwrap();
    assert_eq!(host.ask(&Request::Read { path: text(&empty) }).outcome, Some(Outcome::Ok));
}

#[test]
fn a_file_that_says_more_than_it_has_ends_where_it_ends() {
    let mut host = Host::greeted();
    let path = "/sys/class/net/lo/mtu";
    let (said, has) = (fs::metadata(path).unwrap().len(), fs::read(path).unwrap());
    assert!(said > has.len() as u64, "this kernel says {said}");
    let got = host.ask(&Request::Read { path: path.into() });
    assert_eq!((got.data, got.holes, got.outcome), (has, 0, Some(Outcome::Ok)));
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_a_failure() {
    let mut host = Host::greeted();
    let path = host.path("log");
    fs::write(&path, vec![7; 3 * WINDOW as usize]).unwrap();
    // Within what was read ahead of the cut, and before it.
    for length in [2 * u64::from(WINDOW), 10] {
        let stream = host.open(&Request::Read { path: text(&path) });
        let mut got = 0;
        while got < WINDOW as usize {
            let frame = host.next_frame();
            got += if frame.kind == Kind::Data { frame.payload.len() } else { 0 };
        }
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        host.send(&Frame::stream(Kind::Credit, stream, credit(WINDOW)));
        assert_eq!(code(&host.finish(stream, &[])), Some(FailureCode::Io), "cut to {length} bytes");
    }
}

#[test]
fn what_is_no_file_is_neither_read_nor_replaced() {
    let mut host = Host::greeted();
    for path in ["/dev/null", "/tmp", "/tmp/"] {
        assert_eq!(code(&host.ask(&write(Path::new(path)))), Some(FailureCode::WrongKind), "{path}");
    }
    assert_eq!(code(&host.ask(&Request::Read { path: "/tmp".into() })), Some(FailureCode::WrongKind));
    let missing = host.path("no/such");
    assert_eq!(code(&host.ask(&Request::Read { path: text(&missing) })), Some(FailureCode::NotFound));
    assert_eq!(code(&host.ask(&write(&missing))), Some(FailureCode::NotFound));
    assert_eq!(code(&host.ask(&Request::Stat { path: "a\0b".into() })), Some(FailureCode::Invalid));
}

#[test]
fn a_link_is_written_through() {
    let mut host = Host::greeted();
    let (target, link) = (host.path("target"), host.path("link"));
    fs::write(&target, "old").unwrap();
    let asked = Request::Link { path: text(&link), target: text(&target) };
    assert_eq!(host.ask(&asked).outcome, Some(Outcome::Ok));
    assert_eq!(host.ask(&asked).outcome, Some(Outcome::Ok), "a link is replaced");
    let stream = host.open(&write(&link));
    host.finish(stream, b"new");
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    assert!(link.is_symlink());
    let over = Request::Link { path: text(&target), target: "x".into() };
    assert_eq!(code(&host.ask(&over)), Some(FailureCode::WrongKind));
}

#[test]
fn directories_are_made_listed_and_told_apart() {
    let mut host = Host::greeted();
    let dir = host.path("a/b c");
    let make = Request::MakeDir { path: text(&dir), mode: 0o700 };
    assert_eq!(host.ask(&make).outcome, Some(Outcome::Ok));
    assert_eq!(host.ask(&make).outcome, Some(Outcome::Ok), "one that is there is fine");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(dir.join("z"), "12345").unwrap();
    std::os::unix::fs::symlink("z", dir.join("l")).unwrap();
    for number in 0..2000 {
        fs::write(dir.join(format!("n{number:04}")), "").unwrap();
    }
    let got = host.ask(&Request::List { path: text(&dir) });
    let entries: Vec<Entry> = got.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2002);
    assert!(entries.is_sorted_by_key(|entry| entry.name.clone()));
    assert_eq!((entries[0].kind, entries[0].target.as_deref()), (EntryKind::Link, Some("z")));
    assert_eq!((entries[2001].kind, entries[2001].size), (EntryKind::File, 5));
    let stat = host.ask(&Request::Stat { path: text(&dir.join("l")) });
    assert!(matches!(stat.outcome, Some(Outcome::Entry { entry }) if entry.kind == EntryKind::File));
}
