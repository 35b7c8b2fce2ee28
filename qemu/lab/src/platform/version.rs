// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU's version number.

use std::fmt;

/// For example 11.1.3; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QemuVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub micro: u32,
}

impl QemuVersion {
    /// The oldest QEMU with plugin API 7 and a `vfio-user-pci` that does what the device needs.
    pub const OLDEST: Self = Self {
        major: 11,
        minor: 1,
        micro: 0,
    };

    /// Reads what `qemu-system-x86_64 --version` prints.
    pub fn parse(output: &str) -> Option<Self> {
        let rest = output.trim_start().strip_prefix("QEMU emulator version ")?;
        let number = rest.split_whitespace().next()?;
        let mut parts = number.split(['.', '-', '+']).map(str::parse);
        let mut next = || parts.next().and_then(Result::ok);
        Some(Self {
            major: next()?,
            minor: next()?,
            micro: next().unwrap_or(0),
        })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(output: &str) -> Option<String> {
        QemuVersion::parse(output).map(|version| version.to_string())
    }

    #[test]
    fn versions_are_read_from_what_qemu_prints() {
        let debian = "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright";
        assert_eq!(version(debian).as_deref(), Some("11.1.3"));
        let built = "QEMU emulator version 11.1.50 (v11.1.0-123-gabcdef)";
        assert_eq!(version(built).as_deref(), Some("11.1.50"));
        let candidate = "QEMU emulator version 12.0-rc1";
        assert_eq!(version(candidate).as_deref(), Some("12.0.0"));
        assert_eq!(version("qemu-system-x86_64: not found"), None);
        assert_eq!(version("QEMU emulator version unknown"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |output| QemuVersion::parse(output).unwrap();
        assert!(version("QEMU emulator version 11.1.0") >= QemuVersion::OLDEST);
        assert!(version("QEMU emulator version 12.0.0") >= QemuVersion::OLDEST);
        assert!(version("QEMU emulator version 9.2.4") < QemuVersion::OLDEST);
        assert!(version("QEMU emulator version 11.0.99") < QemuVersion::OLDEST);
    }
}
