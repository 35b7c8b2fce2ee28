// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The `VERSION` message.

use serde_json::{Map, Value};
use zerocopy::IntoBytes;

use super::error::RequestError;
use super::layout::layout;
use super::protocol::{MAX_DATA_BYTES, MAX_MESSAGE_FDS, Version};

/// Page size that mappable areas and DMA ranges keep to.
const PAGE_BYTES: u32 = 4096;

/// Answers a `VERSION` request.
///
/// The answer is never longer than the request: QEMU receives it into the request's buffer and
/// gives the connection up when it does not fit. A request without room for our capabilities is
/// answered without them.
///
/// # Errors
/// When the request is malformed or of another major version.
pub(super) fn negotiate(payload: &[u8], reply: &mut Vec<u8>) -> Result<(), RequestError> {
    let (version, data) = layout::<Version>(payload).ok_or(RequestError::TooShort {
        bytes: payload.len(),
        needed: size_of::<Version>(),
    })?;
    if version.major != 0 {
        return Err(RequestError::MajorVersion(version.major.get()));
    }
    let client = client_capabilities(data)?;
    let (major, minor) = (version.major, version.minor);
    log::debug!("The client speaks vfio-user {major}.{minor}");
    log::debug!("The client's capabilities: {}", Value::Object(client));

    let ours = Version {
        major: 0.into(),
        minor: 0.into(),
    };
    reply.extend_from_slice(ours.as_bytes());
    let capabilities = capabilities();
    if capabilities.len() < data.len() {
        reply.extend_from_slice(capabilities.as_bytes());
        reply.push(0);
    }
    Ok(())
}

/// What the client says of itself: the JSON text up to its NUL or the end; no text at all is
/// allowed. Nothing of it changes what this server does: it sends no requests of its own, and its
/// replies keep to the size of the request.
fn client_capabilities(data: &[u8]) -> Result<Map<String, Value>, RequestError> {
    let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(Map::default());
    }
    let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(text);
    let mut data = parsed.map_err(RequestError::VersionData)?;
    match data.remove("capabilities") {
        Some(capabilities) => {
            serde_json::from_value(capabilities).map_err(RequestError::VersionData)
        }
        None => Ok(Map::default()),
    }
}

/// Our capabilities as JSON. Keys that QEMU does not know make it warn.
fn capabilities() -> String {
    format!(
        r#"{{"capabilities":{{"max_msg_fds":{MAX_MESSAGE_FDS},"max_data_xfer_size":{MAX_DATA_BYTES},"pgsizes":{PAGE_BYTES}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: &[u8] = b"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \
\"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, \
\"pgsize\": 4096}, \"write_multiple\": true}}\0";

    fn answer(major: u8, minor: u8, data: &[u8]) -> Result<Vec<u8>, RequestError> {
        let mut reply = Vec::new();
        let request = [&[major, 0, minor, 0], data].concat();
        negotiate(&request, &mut reply).map(|()| reply)
    }

    #[test]
    fn qemu_gets_our_capabilities_within_its_own_length() {
        let reply = answer(0, 0, QEMU).unwrap();
        assert_eq!(
            reply,
            b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"pgsizes\":4096}}\0"
        );
        assert!(reply.len() <= 4 + QEMU.len());
    }

    #[test]
    fn a_request_without_room_gets_the_version_alone() {
        for data in [&b""[..], b"\0", b"{}\0", b"{\"capabilities\":{}}"] {
            assert_eq!(answer(0, 0, data).unwrap(), [0; 4]);
        }
    }

    #[test]
    fn a_missing_nul_is_tolerated() {
        let text = QEMU.strip_suffix(b"\0").unwrap();
        assert!(answer(0, 3, text).unwrap().len() > 4);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for data in [&b"\xff{{{\0"[..], b"[]\0", b"7", b"{\"capabilities\": 3}\0"] {
            let error = answer(0, 0, data).unwrap_err();
            assert!(matches!(error, RequestError::VersionData(_)), "{error:?}");
        }
        let nested = [b"{\"a\":".repeat(100_000), b"\0".to_vec()].concat();
        assert!(answer(0, 0, &nested).is_err());
    }

    #[test]
    fn another_major_version_is_refused() {
        assert!(matches!(
            answer(1, 0, QEMU).unwrap_err(),
            RequestError::MajorVersion(1)
        ));
    }
}
