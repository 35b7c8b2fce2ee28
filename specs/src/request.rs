// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which memory requests a CHMU tracks.

/// Direction of a memory request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// The host reads memory.
    Read,
    /// The host writes memory.
    Write,
}

/// The request filter of an instance (chmu-registers, offset 0x40, bits 7:0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestFilter {
    /// Reads from outside trusted execution environments.
    NonTeeRead = 1,
    /// Writes from outside trusted execution environments.
    NonTeeWrite = 2,
    /// Reads and writes from outside trusted execution environments.
    NonTeeReadWrite = 3,
    /// Reads, trusted execution environments' among them.
    AllRead = 4,
    /// Writes, trusted execution environments' among them.
    AllWrite = 5,
    /// Reads and writes, trusted execution environments' among them.
    AllReadWrite = 6,
}

impl RequestFilter {
    /// All filters, by register code.
    pub const ALL: [Self; 6] = [
        Self::NonTeeRead,
        Self::NonTeeWrite,
        Self::NonTeeReadWrite,
        Self::AllRead,
        Self::AllWrite,
        Self::AllReadWrite,
    ];

    /// The filter with a register code; none for reserved codes.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.code() == code)
    }

    /// The code that stands for it in the registers.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its bit in the trackable requests of the capabilities.
    const fn capability_bit(self) -> u8 {
        1 << (self as u8 - 1)
    }

    /// Whether requests of trusted execution environments are tracked too.
    pub const fn includes_tee(self) -> bool {
        matches!(self, Self::AllRead | Self::AllWrite | Self::AllReadWrite)
    }

    /// Whether a request passes the filter; `tee` says that it comes from a trusted execution
    /// environment.
    pub const fn tracks(self, kind: AccessKind, tee: bool) -> bool {
        let direction = match self {
            Self::NonTeeReadWrite | Self::AllReadWrite => true,
            Self::NonTeeRead | Self::AllRead => matches!(kind, AccessKind::Read),
            Self::NonTeeWrite | Self::AllWrite => matches!(kind, AccessKind::Write),
        };
        direction && (!tee || self.includes_tee())
    }

    /// The name used in configuration files and output, such as `non-tee-read`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonTeeRead => "non-tee-read",
            Self::NonTeeWrite => "non-tee-write",
            Self::NonTeeReadWrite => "non-tee-read-write",
            Self::AllRead => "all-read",
            Self::AllWrite => "all-write",
            Self::AllReadWrite => "all-read-write",
        }
    }
}

/// The set of request filters that a device supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestFilters(u8);

impl RequestFilters {
    /// The set of all filters.
    pub const EVERY: Self = Self(0x3f);

    /// The set in its register form; undefined bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::EVERY.0)
    }

    /// The register form: bit n stands for code n + 1.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `filter` is in the set.
    pub const fn contains(self, filter: RequestFilter) -> bool {
        self.0 & filter.capability_bit() != 0
    }

    /// The filters of the set, by code.
    pub fn iter(self) -> impl Iterator<Item = RequestFilter> {
        RequestFilter::ALL
            .into_iter()
            .filter(move |filter| self.contains(*filter))
    }
}

impl FromIterator<RequestFilter> for RequestFilters {
    fn from_iter<I: IntoIterator<Item = RequestFilter>>(filters: I) -> Self {
        Self(
            filters
                .into_iter()
                .fold(0, |bits, filter| bits | filter.capability_bit()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_follow_the_table_of_the_register_map() {
        use AccessKind::{Read, Write};
        // Columns: non-TEE read, non-TEE write, TEE read, TEE write.
        let expected = [
            (1, [true, false, false, false]),
            (2, [false, true, false, false]),
            (3, [true, true, false, false]),
            (4, [true, false, true, false]),
            (5, [false, true, false, true]),
            (6, [true, true, true, true]),
        ];
        for (code, tracked) in expected {
            let filter = RequestFilter::from_code(code).unwrap();
            let seen = [(Read, false), (Write, false), (Read, true), (Write, true)]
                .map(|(kind, tee)| filter.tracks(kind, tee));
            assert_eq!(seen, tracked, "code {code}");
        }
        for code in (0..=0).chain(7..=255) {
            assert_eq!(RequestFilter::from_code(code), None);
        }
    }

    #[test]
    fn capability_bits_start_with_code_1() {
        let filters: RequestFilters = [RequestFilter::NonTeeRead, RequestFilter::AllReadWrite]
            .into_iter()
            .collect();
        assert_eq!(filters.bits(), 0b10_0001);
        assert_eq!(filters.iter().count(), 2);
    }
}
