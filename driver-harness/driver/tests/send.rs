// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A unit is driven in whatever thread its owner likes.

use chmu_driver::device::listing::ListedDevice;
use chmu_driver::device::{
    Block, DeviceError, Identity, Instance, PciFunction, Selection, Settings, SettingsError,
    SharedTransport, Unit, UnitError, UnitStatistics, Wishes,
};
use chmu_driver::translation::{Translation, TranslationError};
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::socket::SocketTransport;
use chmu_driver::transport::sysfs::SysfsTransport;
use chmu_driver::transport::vfio::VfioTransport;
use chmu_driver::transport::{MappedWords, TransportError};

const fn is_send<T: Send>() {}

const fn is_shared<T: Send + Sync>() {}

/// Fails to build when one of them is bound to its thread.
#[test]
fn no_type_is_bound_to_a_thread() {
    is_shared::<InProcessDevice>();
    is_shared::<SharedTransport>();
    is_shared::<SocketTransport>();
    is_shared::<SysfsTransport>();
    is_shared::<VfioTransport>();
    is_send::<Box<dyn MappedWords>>();
    is_send::<Unit>();
    is_shared::<(Block, Identity, Instance, ListedDevice, PciFunction)>();
    is_shared::<(Selection, Settings, Translation, UnitStatistics, Wishes)>();
    is_shared::<(
        DeviceError,
        SettingsError,
        TransportError,
        TranslationError,
        UnitError,
    )>();
}
