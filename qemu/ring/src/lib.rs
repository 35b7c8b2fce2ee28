// SPDX-License-Identifier: BSD-3-Clause
//! Shared-memory access rings between the TCG plugin and the device.
