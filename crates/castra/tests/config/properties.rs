//! What holds for every text: no panic, one answer, faults that point into the file; and what a
//! snapshot keeps of every project.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use castra::config::{
    BaseImage, Bootstrap, Channel, CloudInit, Fault, Lifecycle, Mount, Project, Source, Verify, VmConfig,
    from_snapshot, limits, parse, parse_bytes, to_snapshot,
};
use castra::core::project::WorkspaceId;
use plasmavmc_types::{
    AcceleratorChoice, BootstrapMode, ByteSize, Firmware, Persistence, PortForward, Protocol,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::{dirs, env};

/// What every fault of `text` must be like.
fn check(text: &str, faults: &[Fault]) -> Result<(), TestCaseError> {
    prop_assert!((1..=limits::MAX_FAULTS).contains(&faults.len()));
    prop_assert!(faults.is_sorted_by_key(|fault| fault.span.start));
    for fault in faults {
        let span = fault.span;
        prop_assert!(span.start <= span.end && span.end <= text.len(), "{:?}", fault);
        prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{:?}", fault);
        let lines = text[..span.start].matches('\n').count();
        prop_assert_eq!(fault.position.line, lines + 1);
        let told = [Some(&fault.message), fault.found.as_ref(), fault.suggestion.as_ref(), Some(&fault.key)];
        for told in told.into_iter().flatten() {
            prop_assert!(!told.contains(char::is_control), "{:?}", fault);
            prop_assert!(told.chars().count() < 1000, "{:?}", fault);
        }
        prop_assert!(!fault.message.is_empty() && !fault.message.ends_with('.'));
    }
    Ok(())
}

/// A text, parsed twice.
fn parse_and_check(text: &str) -> Result<(), TestCaseError> {
    let parsed = parse(text, &env());
    prop_assert_eq!(&parsed, &parse(text, &env()));
    match parsed {
        Ok(project) => prop_assert!(!project.vms.is_empty()),
        Err(faults) => check(text, &faults)?,
    }
    Ok(())
}

/// Pieces of configs, right and wrong, so that random texts get beyond the first line.
fn pieces() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "version",
        "project",
        "name",
        "state_dir",
        "vms",
        "count",
        "replicas",
        "base_image",
        "overlay",
        "cpus",
        "memory",
        "port_forwards",
        "host",
        "guest",
        "protocol",
        "address",
        "cloud_init",
        "user_data",
        "inline",
        "mounts",
        "guest",
        "read_only",
        "bootstrap",
        "script",
        "payload",
        "env",
        "verify",
        "timeout_secs",
        "lifecycle",
        "sigterm_wait_secs",
        "channel",
        "freshness_window_secs",
        "a",
        "a-0",
    ]);
    let values = prop::sample::select(vec![
        "1",
        "-1",
        "0x10",
        "1e9",
        "true",
        "\"a\"",
        "\"2 GiB\"",
        "\".castra/x\"",
        "\"\\u0000\"",
        "'''\nx'''",
        "[]",
        "{}",
        "[{ host = 1, guest = 2 }]",
        "{ user_data = \"x\" }",
        "[{ host = \"x\", guest = \"/x\" }]",
        "{ script = \"x\", env = { A = \"b\" } }",
        "[\"a\", \"b\"]",
        "{ a-0 = { cpus = 2 } }",
        "2020-01-01",
        "inf",
        "nan",
        "\"\\u001b[31m\"",
        "",
        "[",
        "\"",
    ]);
    let line = prop_oneof![
        6 => (keys.clone(), values).prop_map(|(key, value)| format!("{key} = {value}\n")),
        2 => keys.clone().prop_map(|key| format!("[{key}]\n")),
        2 => keys.clone().prop_map(|key| format!("[[{key}]]\n")),
        1 => (keys.clone(), keys).prop_map(|(a, b)| format!("[{a}.{b}]\n")),
        3 => Just("[[vms]]\nname = \"a\"\n".to_owned()),
        1 => "\\PC{0,12}\n",
    ];
    vec(line, 0..20).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_text_gives_a_project_or_faults(text in any::<String>()) {
        parse_and_check(&text)?;
    }

    #[test]
    fn any_pieces_of_configs_give_a_project_or_faults(text in pieces()) {
        parse_and_check(&text)?;
    }

    #[test]
    fn any_bytes_give_a_project_or_faults(bytes in vec(any::<u8>(), 0..200)) {
        if let Err(faults) = parse_bytes(&bytes, &env()) {
            prop_assert!(faults.iter().all(|fault| fault.span.end <= bytes.len()));
        }
    }

    #[test]
    fn a_project_survives_its_snapshot(project in projects()) {
        let text = to_snapshot(&project);
        let read = from_snapshot(&text, &project.config_path, &dirs());
        prop_assert_eq!(read.as_ref(), Ok(&project), "{}", text);
        prop_assert_eq!(to_snapshot(&read.unwrap()), text);
    }
}

/// Projects as a config could describe them.
fn projects() -> impl Strategy<Value = Project> {
    let name = "[a-zA-Z0-9 \"'#=日.-]{0,20}[a-z]".prop_map(|name: String| name.parse().unwrap());
    let state_root = prop_oneof!["/var/[a-z,' ]{1,9}/x", Just("/src/web/.castra".to_owned())];
    let lifecycle = (0..=3600u64, 0..=3600u64, 0..=3600u64).prop_map(|(graceful, term, kill)| Lifecycle {
        graceful_shutdown_wait: Duration::from_secs(graceful),
        sigterm_wait: Duration::from_secs(term),
        sigkill_wait: Duration::from_secs(kill),
    });
    let channel = (3..=300u64).prop_map(|secs| Channel { freshness_window: Duration::from_secs(secs) });
    let parts = (name, state_root, vec(vms(), 1..5), lifecycle, channel);
    parts.prop_map(|(name, state_root, vms, lifecycle, channel)| {
        let env = env();
        let mut project = Project {
            workspace_id: WorkspaceId::of(&env.config_path, &name),
            name,
            state_root: PathBuf::from(state_root),
            config_path: env.config_path,
            vms,
            lifecycle,
            channel,
        };
        // What must differ between VMs is made to.
        for (n, vm) in project.vms.iter_mut().enumerate() {
            vm.name = format!("vm{n}").parse().unwrap();
            vm.overlay = project.state_root.join(format!("disks/{n}.qcow2"));
            for (m, forward) in vm.port_forwards.iter_mut().enumerate() {
                forward.host = (1 + n as u64 * 10_000 + m as u64).try_into().unwrap();
            }
        }
        project
    })
}

fn vms() -> impl Strategy<Value = VmConfig> {
    let base_image = prop_oneof![
        "[a-z0-9][a-z0-9._-]{0,20}"
            .prop_filter("a disk's suffix makes it a path", |name| {
                ![".qcow2", ".img", ".raw"].iter().any(|suffix| name.ends_with(suffix))
            })
            .prop_map(|name| BaseImage::Catalogue(name.parse().unwrap())),
        "/images/[a-z,'\"\\\\ ]{1,9}x".prop_map(|path| BaseImage::Path(path.into())),
    ];
    let forward =
        (1..=u64::from(u16::MAX), any::<bool>(), 0..224u8).prop_map(|(guest, is_udp, first)| PortForward {
            address: Ipv4Addr::new(first, 0, 0, 1).into(),
            protocol: if is_udp { Protocol::Udp } else { Protocol::Tcp },
            ..PortForward::tcp(1, guest).unwrap()
        });
    let source = || {
        prop_oneof![
            any::<String>().prop_map(Source::Inline),
            "/seeds/[a-z#'\"]{1,9}".prop_map(|path| Source::Path(path.into())),
        ]
    };
    let accelerator =
        prop::sample::select(vec![AcceleratorChoice::Auto, AcceleratorChoice::Kvm, AcceleratorChoice::Tcg]);
    let firmware = option::of(prop::sample::select(vec![Firmware::Bios, Firmware::Uefi]));
    let persistence = prop::sample::select(vec![Persistence::Disposable, Persistence::Persistent]);
    let numbers = (1..=limits::MAX_CPUS, 64..=1_000_000u64);
    let cloud_init = (option::of(source()), option::of(source()))
        .prop_map(|(user_data, network_config)| CloudInit { user_data, network_config });
    let set_up = (cloud_init, option::of(bootstraps()), mounts());
    (base_image, vec(forward, 0..4), accelerator, firmware, persistence, numbers, set_up).prop_map(
        |(base_image, port_forwards, accelerator, firmware, persistence, (cpus, memory), set_up)| {
            let (cloud_init, bootstrap, mounts) = set_up;
            VmConfig {
                name: "vm".parse().unwrap(),
                base_image,
                overlay: PathBuf::new(),
                cpus: NonZeroU32::new(cpus).unwrap(),
                memory: ByteSize::mib(memory),
                port_forwards,
                accelerator,
                firmware,
                persistence,
                mounts,
                cloud_init,
                bootstrap,
            }
        },
    )
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let mount = ("/shared/[a-z#'\" ]{1,9}x", any::<bool>());
    vec(mount, 0..4).prop_map(|mounts| {
        let mount = |(n, (host, read_only)): (usize, (String, bool))| Mount {
            host: host.into(),
            guest: format!("/srv/a b/{n}"),
            read_only,
        };
        mounts.into_iter().enumerate().map(mount).collect()
    })
}

fn bootstraps() -> impl Strategy<Value = Bootstrap> {
    let file = || "/setup/[a-z#'\" ]{1,9}x".prop_map(PathBuf::from);
    let value = any::<String>().prop_map(|text| text.replace('\0', ""));
    let env = prop::collection::btree_map("[a-z_][A-Za-z0-9_]{0,9}", value, 0..4);
    let verify = prop_oneof![
        "[a-z][ -~]{0,20}".prop_map(Verify::Shell),
        vec("[ -~]{0,9}[a-z]", 1..4).prop_map(Verify::Program),
    ];
    let mode = prop::sample::select(BootstrapMode::ALL.to_vec());
    (mode, file(), option::of(file()), env, 1..=86_400u64, option::of(verify)).prop_map(
        |(mode, script, payload, env, secs, verify)| Bootstrap {
            mode,
            script,
            payload,
            env,
            timeout: Duration::from_secs(secs),
            verify,
        },
    )
}

/// Texts that cost much where reading is not linear: a bound that is broken shows as a test that
/// does not end.
#[test]
fn a_bomb_is_a_fault_and_costs_little() {
    // An eighth of the largest file: enough to hang where the cost is a square, quick where it is not.
    let size = usize::try_from(limits::MAX_FILE_BYTES / 8).unwrap();
    let long_key = "k".repeat(size / 2);
    let many = |line: &str| line.repeat(size / line.len());
    let bombs = [
        "[".repeat(size),
        format!("a={}", "[".repeat(size)),
        format!("a={}", many("{a=")),
        format!("{}a = 1", many("a.")),
        format!("[{}a]", many("a.")),
        many("="),
        many("=\n"),
        many("a = 1\n"),
        many("\r"),
        many("\"\"\"\n"),
        many("[[vms]]\n"),
        many("[[vms]]\nname = \"a\"\ncount = 256\n"),
        many("[[vms]]\nname = \"a\"\nport_forwards = [{ host = 1, guest = 1 }]\n"),
        format!("[[vms]]\nname = \"a\"\ncount = 256\n[vms.replicas.{long_key}]\n{}", keys(size / 20)),
        format!("[[vms]]\nname = \"a\"\ncount = 256\n{}", tables(size / 40)),
        format!("[[vms]]\nname = \"a\"\nport_forwards = [{}]\n", many("{ host = 1, guest = 1 },")),
        format!("[[vms]]\nname = \"a\"\nmemory = \"{}\"\n", "9".repeat(size)),
        format!("[[vms]]\nname = \"a\"\ncpus = {}\n", "9".repeat(size)),
        format!("[[vms]]\nname = \"a\"\noverlay = \"{}\"\n", "a/".repeat(size / 2)),
        format!("{long_key} = 1\n"),
    ];
    for bomb in bombs {
        let faults = parse(&bomb, &env()).expect_err(&bomb[..60]);
        check(&bomb, &faults).unwrap_or_else(|error| panic!("{}: {error}", &bomb[..60]));
    }
}

fn keys(count: usize) -> String {
    (0..count).map(|n| format!("key{n} = 1\n")).collect()
}

fn tables(count: usize) -> String {
    (0..count).map(|n| format!("[vms.replicas.b-{n}]\n")).collect()
}
