// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Content that its maker compressed, with whichever of Linux' usual methods.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// The uncompressed content behind what begins as gzip, xz or Zstandard does; `None` for anything
/// else. What follows the compressed content is not looked at.
///
/// # Errors
/// When the beginning is damaged.
pub(crate) fn expanding(content: &[u8]) -> io::Result<Option<Box<dyn Read + '_>>> {
    const GZIP: &[u8] = b"\x1f\x8b";
    const XZ: &[u8] = b"\xfd7zXZ\0";
    const ZSTANDARD: &[u8] = b"\x28\xb5\x2f\xfd";
    Ok(if content.starts_with(GZIP) {
        Some(Box::new(GzDecoder::new(content)))
    } else if content.starts_with(XZ) {
        Some(Box::new(XzReader::new(content, false)))
    } else if content.starts_with(ZSTANDARD) {
        let decoder = StreamingDecoder::new(content).map_err(io::Error::other)?;
        Some(Box::new(decoder))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "chmu\n" by gzip -n, xz and zstd.
    const COMPRESSED: [&[u8]; 3] = [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xce\xc8\x2d\xe5\x02\x00\xb2\x19\xb0\
          \x14\x05\x00\x00\x00",
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\
          \x74\x2f\xe5\xa3\x01\x00\x04\x63\x68\x6d\x75\x0a\x00\x00\x00\x00\xe0\x74\xb4\x1b\
          \x85\xc0\xb0\xa0\x00\x01\x1d\x05\xb8\x2d\x80\xaf\x1f\xb6\xf3\x7d\x01\x00\x00\x00\
          \x00\x04\x59\x5a",
        b"\x28\xb5\x2f\xfd\x04\x58\x29\x00\x00\x63\x68\x6d\x75\x0a\x90\x4b\xa5\x6f",
    ];

    #[test]
    fn each_method_is_known_by_how_it_begins() {
        for compressed in COMPRESSED {
            let with_trailer = [compressed, b"\x05\0\0\0"].concat();
            let mut text = String::new();
            let expanded = expanding(&with_trailer).unwrap();
            expanded.unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "chmu\n");
        }
        assert!(expanding(b"\x7fELF").unwrap().is_none());
        assert!(expanding(b"").unwrap().is_none());
    }

    #[test]
    fn damaged_content_is_an_error() {
        for compressed in COMPRESSED {
            let half = &compressed[..compressed.len() / 2];
            let read = expanding(half).and_then(|expanded| match expanded {
                Some(mut expanded) => expanded.read_to_end(&mut Vec::new()),
                None => Ok(0),
            });
            assert!(read.is_err());
        }
    }
}
