//! Starting: once however many try, private, with any path, and with a fallback.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use plasmavmc_hypervisor::{Error, HypervisorBackend, Observe, block_on};
use plasmavmc_types::{
    Accelerator, AcceleratorChoice, BackingSpec, DiskFormat, DiskSpec, EventKind, Explain, Firmware,
    MachineType, VmSpec, VmState,
};

use crate::bench::{Bench, chain, overlay, qemu, raw_disk};
use castra_testkit::halting_disk;

#[test]
fn twenty_starts_at_once_make_one_qemu() {
    let bench = Bench::new();
    let vm = bench.create(&bench.spec("web"));
    let pids: Vec<Option<u32>> = std::thread::scope(|scope| {
        let start = || {
            let backend = bench.another();
            let status = block_on(backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
            assert_eq!(status.state, VmState::Running);
            status.pid
        };
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(pids[0].is_some() && pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let launched = |event: &EventKind| matches!(event, EventKind::VmLaunched { .. });
    assert_eq!(bench.events.taken().iter().filter(|event| launched(event)).count(), 1);
}

#[test]
fn everything_a_vm_leaves_on_disk_is_private() {
    let bench = Bench::new();
    let (_, status) = bench.start("web");
    assert_eq!((status.accelerator, status.responsive), (Some(Accelerator::Tcg), true));
    let mut unseen: Vec<PathBuf> = vec![bench.layout().root().to_owned()];
    let mut files = 0;
    while let Some(dir) = unseen.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let is_dir = entry.file_type().unwrap().is_dir();
            assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{}", entry.path().display());
            files += 1;
            if is_dir {
                unseen.push(entry.path());
            }
        }
    }
    assert!(files > 10, "only {files} files were looked at");
}

#[test]
fn a_workspace_may_lie_deep_and_have_separators_in_its_name() {
    let below = format!("a, b=c;d/{}/{}", "deep ".repeat(30).trim(), "e".repeat(120));
    let bench = Bench::below(&below, |_| {});
    let mut spec = bench.spec("web");
    let path = bench.layout().root().join("disk, format=qcow2 'x'.img");
    fs::write(&path, halting_disk()).unwrap();
    spec.disks = vec![raw_disk(path)];
    let vm = bench.create(&spec);
    let status = block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!((status.state, status.responsive), (VmState::Running, true));
    assert_eq!(bench.status(&vm).pid, status.pid);
}

#[test]
fn an_overlay_keeps_its_base_untouched_and_undeclared_bases_are_refused() {
    let bench = Bench::new();
    let (base, path) = (bench.path("base.img"), bench.path("overlay.qcow2"));
    fs::write(&base, halting_disk()).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o400)).unwrap();
    let backing = BackingSpec { path: base.clone(), format: DiskFormat::Raw };
    overlay(&backing, &path);
    let disk = DiskSpec { format: DiskFormat::Qcow2, ..raw_disk(path.clone()) };
    let spec = |name: &str, backing| VmSpec {
        disks: vec![DiskSpec { backing, ..disk.clone() }],
        ..bench.spec(name)
    };
    let refused = bench.create(&spec("refused", None));
    let error = block_on(bench.backend.start_vm(&refused)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{}", chain(&error));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let vm = bench.create(&spec("web", Some(backing)));
    let status = block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(status.state, VmState::Running);
    assert_eq!(fs::read(base).unwrap(), halting_disk());
}

#[test]
fn uefi_and_microvm_start_too() {
    let bench = Bench::new();
    let uefi = VmSpec { firmware: Firmware::Uefi, ..bench.spec("uefi") };
    let microvm = VmSpec { machine: MachineType::Microvm, ..bench.spec("micro") };
    let capabilities = block_on(bench.backend.capabilities()).unwrap();
    assert_eq!(capabilities.machines, [MachineType::Q35, MachineType::Microvm]);
    for spec in [uefi, microvm] {
        if !capabilities.firmware.contains(&spec.firmware) {
            let error = block_on(bench.backend.create_vm(&spec)).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            continue;
        }
        let vm = bench.create(&spec);
        let status =
            block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(status.state, VmState::Running);
    }
}

/// A QEMU that greets and then aborts with KVM, as one does on a host whose nested virtualisation is
/// broken, and works otherwise.
fn qemu_without_kvm(path: &Path) -> PathBuf {
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' -accel kvm '*)\n\
         echo 'qemu: error: failed to set MSR 0x10a to 0x0' >&2; kill -ABRT $$;;\nesac\nexec {} \"$@\"\n",
        qemu().display()
    );
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    path.to_owned()
}

/// A bench with a QEMU on which KVM does not work, offered as the fastest accelerator.
fn bench_without_kvm() -> Bench {
    let bench = Bench::with(|config| {
        config.accelerators = vec![Accelerator::Kvm, Accelerator::Tcg];
        config.qemu = config.layout.root().join("qemu");
    });
    qemu_without_kvm(&bench.layout().root().join("qemu"));
    bench
}

#[test]
fn an_accelerator_that_fails_at_launch_is_replaced_within_the_call() {
    let bench = bench_without_kvm();
    let vm = bench.create(&VmSpec { accelerator: AcceleratorChoice::Auto, ..bench.spec("web") });
    let status = block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!((status.state, status.accelerator), (VmState::Running, Some(Accelerator::Tcg)));
    let events = bench.events.taken();
    let [EventKind::AcceleratorFellBack { from, to, reason }, EventKind::VmLaunched { accelerator, .. }] =
        events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!((*from, *to, *accelerator), (Accelerator::Kvm, Accelerator::Tcg, Accelerator::Tcg));
    assert!(reason.contains("failed to set MSR 0x10a"), "{reason}");
}

#[test]
fn an_accelerator_that_was_insisted_on_is_not_replaced() {
    let bench = bench_without_kvm();
    let vm = bench.create(&VmSpec { accelerator: AcceleratorChoice::Kvm, ..bench.spec("web") });
    let error = block_on(bench.backend.start_vm(&vm)).unwrap_err();
    assert!(matches!(error, Error::Launch { .. }), "{}", chain(&error));
    assert!(chain(&error).contains("failed to set MSR 0x10a"), "{}", chain(&error));
    assert!(error.hints()[0].contains("castra doctor"), "{:?}", error.hints());
    let status = bench.status(&vm);
    assert_eq!((status.state, status.stop_reason), (VmState::Stopped, None));
}

/// On a host without KVM, with one that aborts, and with one that works: the VM runs.
#[test]
fn whatever_kvm_does_here_the_vm_runs() {
    let bench = Bench::with(|config| config.accelerators = vec![Accelerator::Kvm]);
    let vm = bench.create(&VmSpec { accelerator: AcceleratorChoice::Auto, ..bench.spec("web") });
    let status = block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(status.state, VmState::Running);
    let fell_back = bench.events.taken().iter().any(|e| matches!(e, EventKind::AcceleratorFellBack { .. }));
    let expected = if fell_back { Accelerator::Tcg } else { Accelerator::Kvm };
    assert_eq!(status.accelerator, Some(expected));
}
