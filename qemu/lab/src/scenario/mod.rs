// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is done with a guest, from its boot to a verdict.

pub mod demo;
