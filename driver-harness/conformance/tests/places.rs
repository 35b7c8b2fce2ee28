// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices whose blocks or instances are not where they should be: what is wrong is named, and nothing else is.

use chmu_conformance::cases;
use chmu_conformance::judge::Verdict;
use chmu_conformance::paths::in_process::{Front, InProcessSubject, Surroundings, function_config};
use chmu_conformance::run::{CaseResult, RunError, RunOptions, run};
use chmu_conformance::subject::Subject;
use chmu_cxl::{Interrupts, Profile};
use chmu_driver::device::block_places;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};

/// Its only block has no instances.
#[derive(Debug)]
struct NoInstances;

impl Front for NoInstances {
    fn read(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        let word = device.read(place, width)?;
        // Version, and in the second byte how many instances.
        Ok(match block_places(device).unwrap()[0] == place {
            true => word & !0xff00,
            false => word,
        })
    }
}

/// Nobody decodes its memory.
#[derive(Debug)]
struct AllOnes;

impl Front for AllOnes {
    fn read(
        &self,
        _device: &InProcessDevice,
        _place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        Ok(match width {
            Width::Eight => u64::MAX,
            narrow => (1 << (8 * narrow.bytes())) - 1,
        })
    }
}

fn judge(front: Box<dyn Front>) -> Result<Vec<CaseResult>, RunError> {
    let config = function_config(Profile::Minimal.blocks(), Interrupts::MsiX(8), 1);
    let subject = InProcessSubject::in_surroundings(&config, Surroundings::default(), front);
    let mut subject = subject.unwrap();
    let blocks = block_places(subject.transport()).unwrap();
    run(
        &mut subject,
        &blocks,
        &cases::all(),
        &RunOptions::default(),
        |_| (),
    )
}

#[test]
fn a_block_without_instances_fails_for_that_and_nothing_else_is_judged() {
    let results = judge(Box::new(NoInstances)).unwrap();
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result.verdict.is_failure())
        .map(|result| result.case)
        .collect();
    assert_eq!(failed, ["discovery/instances-present"]);
    let skipped = results
        .iter()
        .filter(|result| matches!(result.verdict, Verdict::Skipped(_)));
    assert!(skipped.count() > 150);
}

#[test]
fn what_reads_as_all_ones_is_used_by_nobody() {
    let error = judge(Box::new(AllOnes)).unwrap_err();
    assert!(matches!(error, RunError::Silent { .. }), "{error}");
}
