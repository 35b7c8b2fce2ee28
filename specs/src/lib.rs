// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CHMU, CXL and PCI register layouts, addresses and codecs.

pub mod address;
