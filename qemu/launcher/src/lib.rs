// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a program is busy with, said at once and at least every ten seconds.

mod date;
pub mod progress;
