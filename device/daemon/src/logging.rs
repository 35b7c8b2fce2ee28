// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The log: what goes where, and how errors are written into it.

use std::error::Error;

/// An error and its sources on one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
