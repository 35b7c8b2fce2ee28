// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
mod hostile;
mod meaning;
mod round_trip;
pub(crate) mod writer;
