//! What the tests of the renderers share.

use std::io::Write;
use std::sync::{Arc, Mutex};

use plasmavmc_engine::Drift;
use plasmavmc_term::{Stdout, Width};
use serde_json::{Value, json};

use crate::vm::plan::{Action, Blueprint, Change, Decision, DiskStep, Entry, Note, Refusal, VmPlan};
use crate::vm::{Absent, Blocker, Danger, Field, Forecast, Standing, Values};

/// The text as it is without colour.
pub(crate) fn plain(text: &str) -> String {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    Stdout::to(sink.clone(), Width::Unlimited).print(text).unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn change(field: Field, from: Value, to: Value, decision: Decision, forecast: Forecast) -> Change {
    let drift = match decision {
        Decision::Leave | Decision::TakeTheirs => Drift::EditedByHand,
        _ => Drift::ManifestChanged,
    };
    Change { field, from: Some(from), applied: None, to, drift, forecast, decision, takes: None }
}

pub(crate) fn entry(name: &str, action: Action, changes: Vec<Change>) -> Entry {
    Entry {
        name: name.to_owned(),
        id: None,
        standing: Some(Standing::Running),
        action,
        changes,
        disk: None,
        pending: Vec::new(),
        notes: Vec::new(),
        digest: None,
        applied: None,
    }
}

/// A plan with one of everything.
pub(crate) fn planned() -> VmPlan {
    let blocked =
        Forecast::Blocked { reason: Blocker::FirmwareChanges, danger: Some(Danger::FirmwareChange) };
    let shrinks = Forecast::Blocked { reason: Blocker::WouldShrinkDisk, danger: None };
    let win11 = Entry {
        pending: vec![Field::Vcpus],
        ..entry(
            "win11",
            Action::Update,
            vec![
                change(Field::Memory, json!(4096), json!(8192), Decision::Make, Forecast::NextColdBoot),
                change(Field::Autostart, json!(false), json!(true), Decision::Make, Forecast::Live),
                change(Field::Boot, json!("bios"), json!("uefi"), Decision::Blocked, blocked),
                change(Field::DiskSizeGb, json!(100), json!(80), Decision::Blocked, shrinks),
                change(
                    Field::Graphics,
                    json!("vnc"),
                    json!("spice"),
                    Decision::Leave,
                    Forecast::NextColdBoot,
                ),
                change(
                    Field::Title,
                    json!("mine"),
                    Value::Null,
                    Decision::TakeTheirs,
                    Forecast::NextColdBoot,
                ),
            ],
        )
    };
    let values = Values::from([
        (Field::Memory, json!(1536)),
        (Field::Vcpus, json!(2)),
        (Field::IsoSources, json!([])),
    ]);
    let blueprint = Blueprint {
        kind: "kvm".to_owned(),
        emulator: None,
        arch: "x86_64".to_owned(),
        disk_format: plasmavmc_types::DiskFormat::Qcow2,
        values,
    };
    let new = Entry {
        standing: None,
        disk: Some(DiskStep::Create { path: "/d/new.qcow2".into(), size_gb: 20 }),
        notes: vec![Note::Absent(Absent::Gone { path: "/iso/a.iso".into() })],
        ..entry("new", Action::Create { blueprint }, Vec::new())
    };
    VmPlan {
        uri: "qemu:///system".to_owned(),
        vms: vec![
            entry("mine", Action::Refuse { refusal: Refusal::NotOurs }, Vec::new()),
            new,
            entry("old", Action::Prune, Vec::new()),
            entry("quiet", Action::Keep, Vec::new()),
            win11,
        ],
    }
}
