//! A kept overlay and the image under it: moved, touched, rebuilt, laid on another one.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use plasmavmc_host::base::BaseImage;
use plasmavmc_host::exec::{self, Program, QEMU_IMG};
use plasmavmc_host::image::Sha512;
use plasmavmc_host::overlay::{self, Existing, OverlayError};
use plasmavmc_types::{DiskFormat, Explain};

const QEMU_IO: Program = Program::new("qemu-io", "qemu-utils");

fn run(program: Program, args: &[&str]) {
    let mut command: Command = program.command().expect("qemu-utils is installed");
    command.args(args);
    exec::run(command, Duration::from_secs(60)).expect("it succeeds");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// An overlay on a raw base, and the directory of both.
struct Kept {
    dir: tempfile::TempDir,
    base: PathBuf,
    overlay: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (base, overlay) = (dir.path().join("base.img"), dir.path().join("web.qcow2"));
        fs::write(&base, vec![5; 1 << 20]).unwrap();
        let kept = Self { dir, base, overlay };
        overlay::prepare(&kept.overlay, &kept.image(), None, Existing::Refuse).unwrap();
        run(QEMU_IO, &["-c", "write -P 9 0 64k", text(&kept.overlay)]);
        kept
    }

    fn image(&self) -> BaseImage {
        raw(&self.base)
    }

    /// Puts other bytes under the overlay, of the same number.
    fn rebuild(&self) {
        fs::write(&self.base, vec![6; 1 << 20]).unwrap();
        touch(&self.base);
    }

    fn verify(&self, base: &BaseImage) -> Result<(), OverlayError> {
        overlay::verify(&self.overlay, base).map(drop)
    }
}

fn raw(path: &Path) -> BaseImage {
    BaseImage::inspect(path, Some(DiskFormat::Raw)).unwrap()
}

/// Gives a file another time, however coarse the clock of its file system is.
fn touch(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_900_000_000, 7);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn is_other_bytes(result: &Result<(), OverlayError>) -> bool {
    matches!(result, Err(OverlayError::OtherBytes { .. }))
}

#[test]
fn a_base_that_was_rebuilt_under_a_kept_overlay_is_refused() {
    let kept = Kept::new();
    kept.verify(&kept.image()).unwrap();
    let before = kept.image().identity();
    kept.rebuild();
    let error = kept.verify(&kept.image()).unwrap_err();
    assert!(matches!(error, OverlayError::OtherBytes { .. }), "{error}");
    assert!(error.to_string().ends_with("bytes of time 1900000000.000000007"), "{error}");
    let hints = error.hints();
    assert!(hints[0].contains(text(&kept.base)), "{hints:?}");
    assert!(hints[2].contains(&format!("mv {0} {0}.old", text(&kept.overlay))), "{hints:?}");
    // What the second hint says puts a base right that was only touched.
    let touch = hints[1].split('`').nth(1).unwrap();
    assert!(Command::new("sh").args(["-c", touch]).status().unwrap().success(), "{touch}");
    assert_eq!(kept.image().identity(), before);
    kept.verify(&kept.image()).unwrap();
}

#[test]
fn a_base_of_another_length_is_refused_without_a_way_around() {
    let kept = Kept::new();
    fs::write(&kept.base, vec![5; 2 << 20]).unwrap();
    let error = kept.verify(&kept.image()).unwrap_err();
    assert!(matches!(error, OverlayError::OtherBytes { .. }), "{error}");
    assert!(error.hints().iter().all(|hint| !hint.contains("touch")), "{:?}", error.hints());
}

#[test]
fn a_known_digest_decides_whatever_the_time_of_the_file() {
    let digest = |digit: &str| digit.repeat(128).parse::<Sha512>().unwrap();
    let kept = Kept::new();
    let base = kept.image().with_digest(digest("a"));
    overlay::prepare(&kept.overlay, &base, None, Existing::Replace).unwrap();
    touch(&kept.base);
    kept.verify(&kept.image().with_digest(digest("a"))).unwrap();
    assert!(is_other_bytes(&kept.verify(&kept.image().with_digest(digest("b")))));
    assert!(is_other_bytes(&kept.verify(&kept.image())), "without a digest, the time tells");
    for (digit, same) in [("a", true), ("b", false)] {
        let line = format!("{}  base.img\n", digit.repeat(128));
        fs::write(kept.dir.path().join("base.img.sha512"), line).unwrap();
        assert_eq!(kept.verify(&kept.image().with_digest_beside()).is_ok(), same);
    }
}

#[test]
fn a_base_that_was_moved_is_known_again_by_its_bytes() {
    let kept = Kept::new();
    let moved = kept.dir.path().join("moved.img");
    fs::rename(&kept.base, &moved).unwrap();
    kept.verify(&raw(&moved)).unwrap();
    let other = kept.dir.path().join("other.img");
    fs::write(&other, vec![5; 1 << 20]).unwrap();
    touch(&other);
    let result = kept.verify(&raw(&other));
    assert!(matches!(result, Err(OverlayError::OtherBase { .. })), "{result:?}");
}

#[test]
fn the_note_of_the_base_survives_what_qemu_does_to_a_header() {
    let kept = Kept::new();
    let overlay = text(&kept.overlay);
    run(QEMU_IMG, &["bitmap", "--add", overlay, "b0"]);
    run(QEMU_IMG, &["resize", "-q", overlay, "8M"]);
    run(QEMU_IMG, &["amend", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", overlay]);
    run(QEMU_IO, &["-c", "write -P 9 0 64k", overlay]);
    kept.verify(&kept.image()).unwrap();
    kept.rebuild();
    assert!(is_other_bytes(&kept.verify(&kept.image())), "the note was lost");
}

#[test]
fn whoever_lays_an_overlay_on_another_image_is_believed() {
    let kept = Kept::new();
    let other = kept.dir.path().join("other.img");
    fs::write(&other, vec![7; 1 << 20]).unwrap();
    run(QEMU_IMG, &["rebase", "-q", "-F", "raw", "-b", text(&other), text(&kept.overlay)]);
    kept.verify(&raw(&other)).unwrap();
    let result = kept.verify(&kept.image());
    assert!(matches!(result, Err(OverlayError::OtherBase { .. })), "{result:?}");
}

#[test]
fn an_overlay_that_somebody_else_made_is_known_by_the_name_of_its_base() {
    let kept = Kept::new();
    fs::remove_file(&kept.overlay).unwrap();
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.img", text(&kept.overlay)];
    run(QEMU_IMG, &create);
    kept.verify(&kept.image()).unwrap();
}

#[test]
fn an_overlay_that_keeps_its_data_in_another_file_is_refused() {
    let kept = Kept::new();
    fs::remove_file(&kept.overlay).unwrap();
    let data = format!("data_file={}", text(&kept.dir.path().join("secrets")));
    let create = ["create", "-q", "-f", "qcow2", "-o", &data, "-F", "raw", "-b", text(&kept.base)];
    run(QEMU_IMG, &[&create[..], &[text(&kept.overlay)]].concat());
    let error = kept.verify(&kept.image()).unwrap_err();
    assert!(matches!(error, OverlayError::Unsupported { .. }), "{error}");
    assert!(error.to_string().ends_with("it keeps its data in another file"), "{error}");
}
