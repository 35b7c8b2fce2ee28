// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The configuration that a kernel built with `CONFIG_IKCONFIG` carries in its image.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use crate::compression;

/// What stands before the compressed configuration.
const MARKER: &[u8] = b"IKCFG_ST";
/// More than any kernel has, and than any configuration has.
const MAX_KERNEL_BYTES: u64 = 1 << 30;
const MAX_CONFIG_BYTES: u64 = 16 << 20;
const SECTOR_BYTES: usize = 512;

/// The configuration in a bzImage; `None` when there is none.
///
/// # Errors
/// When the image cannot be looked into, for example because it is compressed as few are.
pub(super) fn configuration(image: &Path) -> Result<Option<String>> {
    let content = fs::read(image)?;
    let payload = payload(&content).context("The image is damaged")?;
    let expanded = compression::expanding(payload)?;
    let expanded = expanded.context("The kernel is compressed by neither gzip, xz nor zstd")?;
    let mut kernel = Vec::new();
    expanded.take(MAX_KERNEL_BYTES).read_to_end(&mut kernel)?;
    let places = kernel.windows(MARKER.len()).enumerate();
    let mut places = places.filter(|(_, bytes)| *bytes == MARKER);
    Ok(places.find_map(|(place, _)| read_at(kernel.get(place + MARKER.len()..)?)))
}

/// The compressed kernel (Linux x86 boot protocol: `setup_sects` at 0x1f1, `payload_offset` at
/// 0x248, `payload_length` at 0x24c).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |place: usize| {
        let bytes = image.get(place..place + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * SECTOR_BYTES + number(0x248)?;
    image.get(start..start.checked_add(number(0x24c)?)?)
}

/// The text of a compressed configuration; `None` where the marker was there by chance.
fn read_at(compressed: &[u8]) -> Option<String> {
    let expanded = compression::expanding(compressed).ok()??;
    let mut text = String::new();
    expanded
        .take(MAX_CONFIG_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// A bzImage of two setup sectors whose kernel is this.
    pub(in super::super) fn image(kernel: &[u8]) -> Vec<u8> {
        let payload = gzip(kernel);
        let mut image = vec![0; 3 * SECTOR_BYTES + 16];
        image[0x1f1] = 2;
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        [image, payload, vec![0xff; 100]].concat()
    }

    /// A kernel with this configuration in it.
    pub(in super::super) fn kernel(config: &str) -> Vec<u8> {
        let config = gzip(config.as_bytes());
        [b"code IKCFG_ST code ", MARKER, &config, b"IKCFG_ED code"].concat()
    }

    fn read(image: &[u8]) -> Result<Option<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), image).unwrap();
        configuration(file.path())
    }

    #[test]
    fn the_configuration_is_read_out_of_the_image() {
        let config = "CONFIG_CXL_BUS=y\n";
        let found = read(&image(&kernel(config))).unwrap();
        assert_eq!(found.as_deref(), Some(config));
        assert_eq!(read(&image(b"IKCFG_ST")).unwrap(), None);
        assert_eq!(read(&image(b"code")).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_looked_into_is_told() {
        let whole = image(b"code");
        for length in [0, 0x1f1, 0x24f, 3 * SECTOR_BYTES + 20] {
            let error = read(&whole[..length]).unwrap_err();
            assert_eq!(error.to_string(), "The image is damaged", "{length}");
        }
        let mut lz4 = whole.clone();
        lz4[3 * SECTOR_BYTES + 16] = 0x02;
        let error = read(&lz4).unwrap_err().to_string();
        assert!(error.contains("neither gzip, xz nor zstd"), "{error}");
        let mut far = whole;
        far[0x24c..0x250].fill(0xff);
        assert!(read(&far).is_err());
    }
}
