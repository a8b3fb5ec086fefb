//! Overlays and base images against the real `qemu-img` and `qemu-io`: what Castra writes they
//! accept, and what they find wrong Castra refuses.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plasmavmc_host::base::{BaseImage, BaseImageError};
use plasmavmc_host::exec::{self, Program, QEMU_IMG};
use plasmavmc_host::overlay::{self, Existing, OverlayError};
use plasmavmc_host::{disk, qcow2};
use plasmavmc_types::{ByteSize, DiskFormat};

const QEMU_IO: Program = Program::new("qemu-io", "qemu-utils");

fn run(program: Program, args: &[&str]) -> String {
    let mut command: Command = program.command().expect("qemu-utils is installed");
    command.args(args);
    exec::run(command, Duration::from_secs(60)).expect("the oracle accepts it").text().into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// A directory with a base image that holds a pattern at 1 MiB.
struct Images {
    dir: tempfile::TempDir,
}

impl Images {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn base(&self, name: &str, options: &str) -> PathBuf {
        let path = self.path(name);
        run(QEMU_IMG, &["create", "-q", "-f", "qcow2", "-o", options, text(&path), "1G"]);
        run(QEMU_IO, &["-c", "write -P 7 1M 8M", text(&path)]);
        path
    }
}

fn inspect(path: &Path) -> Result<BaseImage, BaseImageError> {
    BaseImage::inspect(path, None)
}

#[test]
fn an_overlay_is_what_qemu_img_would_have_made_and_takes_writes() {
    let images = Images::new();
    let base = inspect(&images.base("ba,se é.qcow2", "compat=1.1")).unwrap();
    let path = images.path("overlays/web.qcow2");
    overlay::prepare(&path, &base, Some(ByteSize::gib(3)), Existing::Refuse).unwrap();

    let info: serde_json::Value =
        serde_json::from_str(&run(QEMU_IMG, &["info", "--output=json", text(&path)])).unwrap();
    assert_eq!(info["format"], "qcow2");
    assert_eq!(info["virtual-size"], 3_u64 << 30);
    assert_eq!(info["backing-filename-format"], "qcow2");
    assert_eq!(info["full-backing-filename"], text(&base.file().path));
    assert_eq!(info["format-specific"]["data"]["compat"], "1.1");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    run(QEMU_IMG, &["check", "-q", text(&path)]);
    run(QEMU_IO, &["-c", "read -P 7 1M 8M", "-c", "write -P 9 2G 3M", "-c", "write -P 8 2M 1M", text(&path)]);
    run(QEMU_IO, &["-c", "read -P 7 1M 1M", "-c", "read -P 8 2M 1M", "-c", "read -P 9 2G 3M", text(&path)]);
    run(QEMU_IMG, &["check", "-q", text(&path)]);
    assert_eq!(overlay::verify(&path, &base).unwrap(), ByteSize::gib(3));
    run(QEMU_IO, &["-r", "-c", "read -P 7 1M 8M", text(&base.file().path)]);
}

#[test]
fn an_untouched_overlay_reads_like_its_base_whatever_the_size() {
    let images = Images::new();
    let raw = images.path("disk.raw");
    fs::write(&raw, vec![5; 3 << 20]).unwrap();
    let base = BaseImage::inspect(&raw, Some(DiskFormat::Raw)).unwrap();
    let path = images.path("o.qcow2");
    for (index, size) in [3 << 20, (512 << 20) + 1, 1 << 40, 2 << 50].into_iter().enumerate() {
        let existing = if index == 0 { Existing::Refuse } else { Existing::Replace };
        overlay::prepare(&path, &base, Some(ByteSize::bytes(size)), existing).unwrap();
        run(QEMU_IMG, &["check", "-q", text(&path)]);
        run(QEMU_IO, &["-r", "-c", "read -P 5 0 3M", text(&path)]);
    }
    let same = overlay::prepare(&path, &base, None, Existing::Replace).unwrap();
    assert_eq!(same, ByteSize::mib(3));
    run(QEMU_IMG, &["compare", "-q", "-f", "raw", "-F", "qcow2", text(&raw), text(&path)]);
}

#[test]
fn a_header_reads_as_qemu_img_wrote_it() {
    let images = Images::new();
    let variants = [
        ("compat=0.10", 16, 16),
        ("compat=1.1,cluster_size=512", 9, 16),
        ("compat=1.1,cluster_size=2M,lazy_refcounts=on", 21, 16),
        ("compat=1.1,refcount_bits=1", 16, 1),
        ("compat=1.1,refcount_bits=64", 16, 64),
        ("compat=1.1,compression_type=zstd", 16, 16),
        ("compat=1.1,extended_l2=on", 16, 16),
        ("compat=1.1,preallocation=metadata", 16, 16),
        ("compat=1.1,preallocation=falloc", 16, 16),
    ];
    for (options, cluster_bits, refcount_bits) in variants {
        let path = images.base("v.qcow2", options);
        let mut first = Vec::new();
        fs::File::open(&path).unwrap().take(2 << 20).read_to_end(&mut first).unwrap();
        let header = qcow2::parse_header(&first).unwrap();
        assert_eq!((header.cluster_bits, header.refcount_bits), (cluster_bits, refcount_bits), "{options}");
        assert_eq!(header.virtual_size, ByteSize::gib(1), "{options}");
        assert_eq!(header.unknown_features(), 0, "{options}");
        let base = inspect(&path).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(base.file().format, DiskFormat::Qcow2);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_image_cut_anywhere_is_never_a_base() {
    let images = Images::new();
    for options in ["compat=1.1", "compat=1.1,cluster_size=2M", "compat=0.10", "compat=1.1,refcount_bits=2"] {
        let whole = images.base("whole.qcow2", options);
        let len = fs::metadata(&whole).unwrap().len();
        assert!(inspect(&whole).is_ok(), "{options}");
        let cut = images.path("cut.qcow2");
        for keep in [4, 100, 65_536, len / 4, len / 2, len - (2 << 20) - 1] {
            fs::copy(&whole, &cut).unwrap();
            fs::File::options().write(true).open(&cut).unwrap().set_len(keep).unwrap();
            let error = inspect(&cut).expect_err(&format!("{options} cut to {keep} of {len} was accepted"));
            assert!(
                matches!(error, BaseImageError::Truncated { .. } | BaseImageError::Damaged { .. }),
                "{options} cut to {keep}: {error:?}"
            );
        }
        fs::remove_file(&whole).unwrap();
    }
}

#[test]
fn a_compressed_image_is_whole_although_its_last_cluster_is_short() {
    let images = Images::new();
    let source = images.base("source.qcow2", "compat=1.1");
    let packed = images.path("packed.qcow2");
    run(QEMU_IMG, &["convert", "-c", "-O", "qcow2", text(&source), text(&packed)]);
    assert!(!fs::metadata(&packed).unwrap().len().is_multiple_of(65_536));
    inspect(&packed).unwrap();
}

#[test]
fn a_chain_is_checked_to_its_end() {
    let images = Images::new();
    let bottom = images.base("bottom.qcow2", "compat=1.1");
    let middle = images.path("middle.qcow2");
    let create = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "bottom.qcow2", text(&middle)];
    run(QEMU_IMG, &create);
    assert_eq!(inspect(&middle).unwrap().virtual_size(), ByteSize::gib(1));

    let moved = images.path("moved.qcow2");
    fs::rename(&bottom, &moved).unwrap();
    let error = inspect(&middle).unwrap_err();
    assert!(
        matches!(&error, BaseImageError::BackingMissing { image, backing } if *image == middle && *backing == bottom),
        "{error:?}"
    );
    fs::rename(&middle, &bottom).unwrap();
    assert!(matches!(inspect(&bottom), Err(BaseImageError::ChainTooDeep { .. })));
}

#[test]
fn an_image_that_names_a_protocol_or_no_format_is_never_a_base() {
    let images = Images::new();
    let base = images.base("base.qcow2", "compat=1.1");
    let over = |name: &str, backing: &str, format: &[&str]| {
        let path = images.path(name);
        let mut args = vec!["create", "-q", "-u", "-f", "qcow2", "-b", backing];
        args.extend(format);
        args.extend([text(&path), "1G"]);
        run(QEMU_IMG, &args);
        path
    };
    let nbd = over("nbd.qcow2", "nbd://127.0.0.1/x", &["-F", "raw"]);
    assert!(matches!(inspect(&nbd), Err(BaseImageError::BackingProtocol { .. })));
    let json = over("json.qcow2", "json:{\"driver\":\"null-co\"}", &["-F", "raw"]);
    assert!(matches!(inspect(&json), Err(BaseImageError::BackingProtocol { .. })));
    let vmdk = over("vmdk.qcow2", "base.qcow2", &["-F", "vmdk"]);
    assert!(matches!(inspect(&vmdk), Err(BaseImageError::Unsupported { .. })));

    let unstated = over("unstated.qcow2", "base.qcow2", &["-F", "qcow2"]);
    let mut bytes = fs::read(&unstated).unwrap();
    let at = bytes.windows(4).position(|word| word == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
    bytes[at] = 0x12;
    fs::write(&unstated, &bytes).unwrap();
    let error = inspect(&unstated).unwrap_err();
    assert!(matches!(&error, BaseImageError::BackingFormat { backing, .. } if *backing == base), "{error:?}");
}

#[test]
fn what_is_not_an_image_is_told_apart() {
    let images = Images::new();
    let path = images.path("x");
    let mut boot = vec![0; 4096];
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    let cases: [(&[u8], Option<DiskFormat>, &str); 6] = [
        (b"", None, "looks like an empty file"),
        (b"<html>404</html>", None, "looks like a web page"),
        (b"\x1f\x8b\x08...", None, "looks like a gzip-compressed file"),
        (&[0; 4096], None, "looks like something else"),
        (&boot, Some(DiskFormat::Qcow2), "is said to be qcow2, but holds a raw image"),
        (b"QFI\xfb\0\0", None, "is damaged"),
    ];
    for (bytes, stated, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let error = BaseImage::inspect(&path, stated).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    fs::write(&path, &boot).unwrap();
    assert_eq!(inspect(&path).unwrap().file().format, DiskFormat::Raw);
    let qcow2 = images.base("q.qcow2", "compat=1.1");
    let error = BaseImage::inspect(&qcow2, Some(DiskFormat::Raw)).unwrap_err();
    assert!(matches!(error, BaseImageError::WrongFormat { .. }), "{error:?}");
    assert!(matches!(inspect(images.dir.path()), Err(BaseImageError::NotAFile { .. })));
    assert!(matches!(inspect(&images.path("none")), Err(BaseImageError::Missing { .. })));
}

#[test]
fn marked_and_unknown_features_are_refused() {
    let images = Images::new();
    for (at, bit, expected) in [
        (79, 0b0000_0010, "is marked as damaged by QEMU"),
        (79, 0b0000_0100, "keeps its data in another file"),
        (72, 0b1000_0000, "uses features of a later QEMU"),
        (35, 2, "is encrypted"),
    ] {
        let path = images.base("f.qcow2", "compat=1.1");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] |= bit;
        fs::write(&path, bytes).unwrap();
        let error = inspect(&path).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_existing_file_is_never_replaced_unasked() {
    let images = Images::new();
    let base = inspect(&images.base("base.qcow2", "compat=1.1")).unwrap();
    let path = images.path("o.qcow2");
    fs::write(&path, "somebody's work").unwrap();
    let error = overlay::prepare(&path, &base, None, Existing::Refuse).unwrap_err();
    assert!(matches!(error, OverlayError::Exists { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's work");
    let error = overlay::prepare(&path, &base, Some(ByteSize::mib(1)), Existing::Replace).unwrap_err();
    assert!(matches!(error, OverlayError::TooSmall { .. }));
    assert!(matches!(overlay::verify(&path, &base), Err(OverlayError::NotAnOverlay { .. })));
    overlay::prepare(&path, &base, None, Existing::Replace).unwrap();

    let other = inspect(&images.base("other.qcow2", "compat=1.1")).unwrap();
    assert!(matches!(overlay::verify(&path, &other), Err(OverlayError::OtherBase { .. })));
    assert_eq!(fs::read_dir(images.dir.path()).unwrap().count(), 3, "litter was left");
}

#[test]
fn what_discarding_frees_is_what_was_taken() {
    let images = Images::new();
    let base = inspect(&images.base("base.qcow2", "compat=1.1")).unwrap();
    let path = images.path("o.qcow2");
    overlay::prepare(&path, &base, None, Existing::Refuse).unwrap();
    assert!(disk::usage(&path).unwrap() < ByteSize::mib(1));
    run(QEMU_IO, &["-c", "write -P 9 0 16M", text(&path)]);
    let reclaimed = overlay::discard(&path).unwrap();
    assert!(reclaimed >= ByteSize::mib(16), "{reclaimed}");
    assert_eq!(overlay::discard(&path).unwrap(), ByteSize::bytes(0));
    assert!(matches!(overlay::verify(&path, &base), Err(OverlayError::Missing { .. })));
}
