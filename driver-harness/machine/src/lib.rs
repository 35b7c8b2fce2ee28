// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the harness knows of the machine that it runs on.

pub mod acpi;
