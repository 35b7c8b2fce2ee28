// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The conformance suite over sockets, against real `vfio-user-chmu` processes.

mod cut_short;
mod device;
mod memory;
mod odd_devices;
mod profiles;
mod quirks;
mod read_only;
mod real_clock;
