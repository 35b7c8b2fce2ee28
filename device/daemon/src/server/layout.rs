// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reads the structures that messages consist of.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::error::RequestError;
use chmu_spec::native::to_usize;

/// Reads a layout from the start of a payload.
///
/// Returns the layout and what follows it; `None` when the payload is shorter than the layout.
pub(super) fn layout<T: FromBytes>(payload: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(payload).ok()
}

/// Reads a layout that begins with its own size (`argsz`) and checks that size.
pub(super) fn checked_layout<T>(
    payload: &[u8],
    argument_bytes: impl FnOnce(&T) -> U32,
) -> Result<T, RequestError>
where
    T: FromBytes + Immutable + KnownLayout,
{
    let needed = size_of::<T>();
    let (value, _) = layout::<T>(payload).ok_or(RequestError::TooShort {
        bytes: payload.len(),
        needed,
    })?;
    let argument_bytes = argument_bytes(&value).get();
    if to_usize(argument_bytes.into()) < needed {
        return Err(RequestError::ArgumentSize {
            argument_bytes,
            needed,
        });
    }
    Ok(value)
}
