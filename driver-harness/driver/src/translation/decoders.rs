// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Windows from a function's own HDM decoders, where no CXL driver of the kernel is bound.

use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::interleave::DecoderWindow;

use super::component::{ComponentError, committed_decoders};
use super::{Translation, TranslationError};
use crate::transport::{BarOffset, Transport, Width};

/// Reads the committed decoders of the component registers at `place`. `position` is asked for the
/// function's position in each interleaved window, which the decoder does not hold.
pub fn read(
    transport: &dyn Transport,
    place: BarOffset,
    position: impl Fn(&DecoderWindow) -> Result<u8, TranslationError>,
) -> Result<Translation, TranslationError> {
    let decoders = committed_decoders(|offset| {
        let value = transport.read(place.plus(offset), Width::Four)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    });
    let decoders = decoders.map_err(|error| match error {
        ComponentError::Transport(error) => error.into(),
        ComponentError::Wrong(reason) => TranslationError::Component {
            device: transport.device().to_owned(),
            place,
            reason,
        },
    })?;
    if decoders.is_empty() {
        return Err(TranslationError::NotCommitted {
            device: transport.device().to_owned(),
        });
    }
    let mut windows = Vec::new();
    let mut next_dpa = 0_u64;
    for (index, decoder) in decoders.into_iter().enumerate() {
        let wrong = |reason: &str| TranslationError::Decoder {
            decoder: format!("HDM decoder {index} of {}", transport.device()),
            reason: reason.into(),
        };
        let interleave = decoder.control.interleave();
        let interleave = interleave.ok_or_else(|| wrong("has reserved codes as its interleave"))?;
        let dpa_base = next_dpa.checked_add(decoder.skip_or_targets);
        let mut window = DecoderWindow {
            base: Hpa(decoder.base),
            size_bytes: decoder.bytes,
            interleave,
            position: 0,
            dpa_base: Dpa(dpa_base.ok_or_else(|| wrong("skips beyond 64 bits"))?),
        };
        next_dpa = window
            .dpa_base
            .0
            .checked_add(window.dpa_bytes())
            .ok_or_else(|| wrong("ends beyond 64 bits of device memory"))?;
        if interleave.ways() > 1 && window.size_bytes > 0 {
            window.position = position(&window)?;
        }
        windows.push(window);
    }
    Translation::new(windows)
}
