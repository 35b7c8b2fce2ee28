// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One owner of a unit at a time, also when owners are killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use chmu_cxl::{DEFAULT_HDM_DECODERS, DecoderConfig, FunctionConfig, Interrupts, Performance};
use chmu_driver::device::ownership::{Found, OwnershipError, Registry};
use chmu_driver::device::{
    InstanceId, Settings, SharedTransport, Surroundings, Unit, Wishes, open_instance,
};
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_model::Capabilities;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::unit_size::UnitSize;
use tempfile::TempDir;

const GIB: u64 = 1 << 30;
/// Tells a test that it is the other process, and where the locks are.
const LOCKS: &str = "CHMU_TEST_LOCKS";
const UNIT: &str = "cxl_hmu_in-process.0.0";

fn with_message(message_number: u8) -> Capabilities {
    Capabilities {
        message_number,
        ..Capabilities::default()
    }
}

fn device() -> Arc<InProcessDevice> {
    let config = FunctionConfig {
        serial_number: 1,
        capacity_bytes: GIB,
        performance: Performance::default(),
        hdm_decoders: DEFAULT_HDM_DECODERS,
        decoders: vec![DecoderConfig {
            base: Hpa(1 << 32),
            size_bytes: GIB,
            ways: 1,
            granularity_bytes: 256,
            position: 0,
            dpa_skip_bytes: 0,
            tee: false,
        }],
        blocks: vec![[1, 2].map(with_message).into()],
        interrupts: Interrupts::MsiX(4),
        quirks: chmu_model::QuirkSet::NONE,
    };
    Arc::new(InProcessDevice::new(&config).unwrap())
}

fn unit(device: &Arc<InProcessDevice>, instance: u8) -> Unit {
    let id = InstanceId { block: 0, instance };
    open_instance(Arc::clone(device) as SharedTransport, id).unwrap()
}

/// Somebody who drives the unit and claims nothing.
fn enable(device: &Arc<InProcessDevice>) {
    let mut stranger = unit(device, 0);
    let surroundings = Surroundings {
        ranges: vec![Dpa(0)..Dpa(GIB)],
        page_unit: UnitSize::BASE_PAGE,
        interrupts: false,
    };
    let settings = Settings::choose(stranger.capabilities(), &Wishes::default(), surroundings);
    stranger.program(settings.unwrap()).unwrap();
    stranger.enable().unwrap();
    std::mem::forget(stranger);
}

fn registry(root: &Path) -> Registry {
    Registry {
        runtime: root.join("run"),
        sysfs: root.join("sys"),
        procfs: "/proc".into(),
    }
}

/// Another process that owns the unit.
fn other_process(root: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--ignored", "--nocapture"])
        .env(LOCKS, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("owns it")));
    child
}

#[test]
#[ignore = "the other process of other tests"]
fn the_other_process() {
    let Some(root) = std::env::var_os(LOCKS) else {
        return;
    };
    let mut unit = unit(&device(), 0);
    registry(Path::new(&root)).claim(&mut unit, false).unwrap();
    println!("owns it");
    // Until the other end of the pipe is closed.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn refusal(root: &TempDir, unit: &mut Unit, insist: bool) -> String {
    let refused = registry(root.path()).claim(unit, insist).unwrap_err();
    refused.to_string()
}

#[test]
fn a_living_owner_keeps_its_unit_whatever_others_insist_on() {
    let root = tempfile::tempdir().unwrap();
    let device = device();
    let mut owner = other_process(root.path());
    let expected = format!("{UNIT} is in use by process {}; end it first", owner.id());
    for insist in [false, true] {
        assert_eq!(refusal(&root, &mut unit(&device, 0), insist), expected);
    }
    let second = registry(root.path()).claim(&mut unit(&device, 1), false);
    assert_eq!(second.unwrap(), Found::Free, "the other unit is free");
    // It ends as it should.
    drop(owner.stdin.take());
    owner.wait().unwrap();
    enable(&device);
    let refused = registry(root.path()).claim(&mut unit(&device, 0), false);
    assert!(
        matches!(refused, Err(OwnershipError::Enabled { .. })),
        "nobody was killed, so whoever enabled it is somebody else: {refused:?}"
    );
}

#[test]
fn a_killed_owner_leaves_no_lock_and_its_unit_is_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let device = device();
    let mut owner = other_process(root.path());
    enable(&device);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let mut unit = unit(&device, 0);
    let found = registry(root.path()).claim(&mut unit, false).unwrap();
    let process_id = owner.id();
    assert_eq!(found, Found::Abandoned { process_id });
}

#[test]
fn a_number_that_lives_again_proves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let device = device();
    enable(&device);
    let locks = root.path().join("run/chmu");
    fs::create_dir_all(&locks).unwrap();
    let mine = std::process::id();
    fs::write(locks.join("in-process.0.0.lock"), format!("{mine}\n")).unwrap();
    let text = refusal(&root, &mut unit(&device, 0), false);
    assert_eq!(
        text,
        format!(
            "{UNIT} counts already, for a program that is not known; end that, or insist with \
             --take-over"
        )
    );
}

#[test]
fn what_somebody_else_drives_is_taken_only_when_insisted_on() {
    let root = tempfile::tempdir().unwrap();
    let device = device();
    let mut free = unit(&device, 0);
    let registry = registry(root.path());
    assert_eq!(registry.claim(&mut free, false).unwrap(), Found::Free);
    drop(free);
    enable(&device);
    let mut enabled = unit(&device, 0);
    let configuration = enabled.configuration().unwrap();
    assert!(registry.claim(&mut enabled, false).is_err());
    assert_eq!(enabled.configuration().unwrap(), configuration);
    assert!(enabled.counts().unwrap(), "a refusal changes nothing");
    assert_eq!(
        registry.claim(&mut enabled, true).unwrap(),
        Found::TakenOver
    );
}

#[test]
fn a_unit_that_the_kernel_drives_is_the_kernels_even_while_it_is_off() {
    let root = tempfile::tempdir().unwrap();
    let device = device();
    let perf = root.path().join("sys/bus/event_source/devices").join(UNIT);
    fs::create_dir_all(&perf).unwrap();
    let text = refusal(&root, &mut unit(&device, 0), false);
    assert!(text.starts_with(&format!(
        "{UNIT} is driven by the kernel, as {}",
        perf.display()
    )));
    let taken = registry(root.path()).claim(&mut unit(&device, 0), true);
    assert_eq!(taken.unwrap(), Found::TakenOver);
}

#[test]
fn without_a_folder_for_locks_a_name_of_the_kernels_serves() {
    let root = tempfile::tempdir().unwrap();
    // A file stands where the folder should be.
    fs::write(root.path().join("run"), "").unwrap();
    let device = device();
    let mut owner = unit(&device, 0);
    let registry = registry(root.path());
    registry.claim(&mut owner, false).unwrap();
    let text = refusal(&root, &mut unit(&device, 0), true);
    assert_eq!(
        text,
        format!("{UNIT} is in use by another chmu; end it first")
    );
    drop(owner);
    assert!(registry.claim(&mut unit(&device, 0), false).is_ok());
}
