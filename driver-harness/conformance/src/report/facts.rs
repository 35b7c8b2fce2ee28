// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a report says of the suite, the machine and the device, so that another run can be compared with it.

use std::fs;

use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::offset;
use chmu_spec::pci::{self, extended_capability, header};

use crate::bench::BlockPlace;
use crate::catalogue::Catalogue;
use crate::registers;
use crate::subject::Subject;

/// Names and values, in the order in which reports show them.
pub type Facts = Vec<(String, String)>;

/// No list of extended capabilities in 4 KiB is longer.
const CAPABILITIES_MAX: usize = 960;

/// What is known before a device is.
pub fn of_suite(catalogue: &Catalogue, command: &str) -> Facts {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
    let kernel = kernel.map_or_else(
        |_| "unknown".into(),
        |text| format!("Linux {}", text.trim()),
    );
    [
        ("suite", format!("chmu {}", env!("CARGO_PKG_VERSION"))),
        ("catalogue", catalogue.edition()),
        ("date", now()),
        ("kernel", kernel),
        ("command", command.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The time in UTC, to the second.
fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now).map_or_else(|_| "unknown".into(), |now| now.to_string())
}

/// What a device shows of itself, and what there is of traffic. What cannot be read is said to be unknown: the
/// cases find out why.
pub fn of_device(subject: &mut dyn Subject, blocks: &[BarOffset]) -> Facts {
    let traffic = subject.traffic().map(|traffic| traffic.is_exact());
    let traffic = match traffic {
        None => "none",
        Some(true) => "exact: each request reaches the device once, and nothing else does",
        Some(false) => "not exact: caches and other programs are between",
    };
    let memory = match subject.memory_bytes() {
        0 => "unknown".to_owned(),
        bytes => format!("{} MiB behind HDM decoders", bytes >> 20),
    };
    let transport = subject.transport();
    let mut facts: Facts = [
        ("device", transport.device().to_owned()),
        ("transport", subject.path().to_owned()),
        ("ids", ids(transport).unwrap_or_else(|_| "unknown".into())),
        (
            "serial",
            serial_number(transport).unwrap_or_else(|_| "unknown".into()),
        ),
        ("traffic", traffic.to_owned()),
        ("memory", memory),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (number, start) in blocks.iter().enumerate() {
        let Ok(block) = BlockPlace::read(transport, number, *start) else {
            continue;
        };
        for instance in block.instances() {
            let name = format!("instance {number}.{}", instance.instance);
            for at in [offset::CAPABILITIES_0, offset::CAPABILITIES_1] {
                let read = transport.read(instance.start.plus(at), Width::Eight);
                let value = read.map_or_else(
                    |_| "unknown".into(),
                    |value| format!("{value:#018x} ({})", registers::fields(at, value)),
                );
                facts.push((format!("{name} {}", registers::name(at)), value));
            }
        }
    }
    facts
}

/// Vendor, device, revision and subsystem.
fn ids(transport: &dyn Transport) -> Result<String, TransportError> {
    let read = |at, width| transport.read_config(at, width);
    let (vendor, device) = (
        read(header::VENDOR_ID, Width::Two)?,
        read(header::DEVICE_ID, Width::Two)?,
    );
    let revision = read(header::REVISION_ID, Width::One)?;
    let subsystem_vendor = read(header::SUBSYSTEM_VENDOR_ID, Width::Two)?;
    let subsystem = read(header::SUBSYSTEM_ID, Width::Two)?;
    Ok(format!(
        "{vendor:04x}:{device:04x} revision {revision:02x}, subsystem \
         {subsystem_vendor:04x}:{subsystem:04x}"
    ))
}

/// The serial number, as its extended capability has it.
fn serial_number(transport: &dyn Transport) -> Result<String, TransportError> {
    let mut at = pci::EXTENDED_CAPABILITIES;
    for _ in 0..CAPABILITIES_MAX {
        let head = transport.read_config(at, Width::Four)?;
        if head & 0xffff == u32::from(extended_capability::SERIAL_NUMBER) {
            let low = transport.read_config(at + 4, Width::Four)?;
            let high = transport.read_config(at + 8, Width::Four)?;
            return Ok(format!("{:#018x}", u64::from(high) << 32 | u64::from(low)));
        }
        at = u16::try_from(head >> 20).unwrap_or(0) & !3;
        if at < pci::EXTENDED_CAPABILITIES {
            break;
        }
    }
    Ok("none".into())
}

#[cfg(test)]
mod tests {
    use chmu_cxl::Profile;
    use chmu_driver::device::block_places;

    use super::*;
    use crate::paths::in_process::{InProcessSubject, Model};

    #[test]
    fn a_device_is_described_by_what_it_shows() {
        let mut subject = InProcessSubject::new(Model::new(Profile::Full)).unwrap();
        let blocks = block_places(subject.transport()).unwrap();
        let facts = of_device(&mut subject, &blocks);
        let find = |name: &str| {
            let fact = facts.iter().find(|(known, _)| known == name);
            fact.unwrap_or_else(|| panic!("{name}: {facts:#?}"))
                .1
                .clone()
        };
        assert_eq!(find("serial"), "0xc4a0000000000001");
        assert!(find("ids").contains(" revision "), "{facts:?}");
        assert!(find("traffic").starts_with("exact"), "{facts:?}");
        let capabilities = find("instance 0.0 Capabilities 1 (0x8)");
        assert!(capabilities.contains("epoch mode 1"), "{capabilities}");
        find("instance 1.0 Capabilities 0 (0x0)");
        let suite = of_suite(&Catalogue::load().unwrap(), "chmu conformance run");
        assert!(
            suite.iter().all(|(_, value)| !value.is_empty()),
            "{suite:?}"
        );
    }
}
