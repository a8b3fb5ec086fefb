//! `bkt vm plan --against`: no libvirt at all.

use crate::env::{ONE, TestEnv, assert_answer};

/// A dump of a domain as libvirt writes it.
fn dump(name: &str, memory_gib: u32) -> String {
    format!(
        "<domain type='kvm'><name>{name}</name><uuid>0198c7a0-0000-7000-8000-000000000001</uuid>\
         <memory unit='GiB'>{memory_gib}</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='pc-q35-9.0'>hvm</type></os>\
         <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/web.qcow2'/>\
         <target dev='vda' bus='virtio'/></disk><interface type='network'><mac address='52:54:00:00:00:01'/>\
         <source network='default'/></interface></devices></domain>"
    )
}

#[test]
fn a_vm_that_was_not_made_here_is_not_touched_unasked() {
    let env = TestEnv::with(ONE);
    env.write("dumps/web.xml", dump("web", 1));
    assert_answer!(env, "not_ours", env.bkt(["vm", "plan", "--against", "dumps"]).ended(2));
    assert_answer!(env, "adopt", env.bkt(["vm", "plan", "--against", "dumps", "--adopt"]).ended(2));
    let answer = env.bkt(["vm", "plan", "--against", "dumps", "--adopt", "--json"]).ended(2);
    env.holds("vm-sync", &answer);
    assert_eq!(answer.line()["outcome"]["plan"]["vms"][0]["action"], "adopt");
}

#[test]
fn planning_writes_nothing() {
    let env = TestEnv::with(ONE);
    env.write("dumps/web.xml", dump("web", 1));
    let before = TestEnv::tree(env.path());
    env.bkt(["vm", "plan", "--against", "dumps"]).ended(2);
    assert_eq!(TestEnv::tree(env.path()), before);
    assert_eq!(env.read("manifests/vms.json"), ONE);
}

#[test]
fn a_directory_that_is_not_there_is_a_failure() {
    let env = TestEnv::with(ONE);
    let answer = env.bkt(["vm", "plan", "--against", "gone"]);
    assert!(![Some(0), Some(2), Some(64)].contains(&answer.code), "{answer}");
    assert!(answer.stderr.contains("gone"), "{answer}");
}

#[test]
fn dumps_that_are_not_there_or_are_none_are_told() {
    let env = TestEnv::with(ONE);
    std::fs::create_dir(env.repo().join("dumps")).unwrap();
    let answer = env.bkt(["vm", "plan", "--against", "dumps"]).ended(2);
    assert!(
        answer.stderr.contains("warning: `dumps` holds no NAME.xml: every VM counts as missing"),
        "{answer}"
    );
    env.write("dumps/other.xml", "<domain>");
    let answer = env.bkt(["vm", "plan", "--against", "dumps"]).ended(2);
    assert!(answer.stderr.contains("warning: `dumps/other.xml` is no domain's XML"), "{answer}");
}

#[test]
fn a_manifest_without_vms_is_clean() {
    let env = TestEnv::with("{ \"vms\": {} }");
    env.write("dumps/web.xml", dump("web", 1));
    assert_answer!(env, env.bkt(["vm", "plan", "--against", "dumps"]).ended(0), @r"
    exit code 0
    --- stdout
    $TEST/repo/dumps  $TEST/repo/manifests/vms.json
    Every VM is as the manifest has it
    ");
}
