// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Descriptions of registers and the access rules that follow from them.

/// What a host may do with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldAccess {
    /// What a host writes is ignored.
    ReadOnly,
    /// Reads back what was written.
    ReadWrite,
    /// Reads back what was written; writes are ignored while the unit is locked (enabled).
    ReadWriteUnlocked,
    /// Set by the device, cleared by writing 1.
    WriteOneToClear,
    /// Writing 1 starts an action; reads as 0.
    WriteOneToStart,
}

impl FieldAccess {
    /// The short form used in tables: `RO`, `RW`, `RW (disabled)`, `RW1C`, `W1S`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "RO",
            Self::ReadWrite => "RW",
            Self::ReadWriteUnlocked => "RW (disabled)",
            Self::WriteOneToClear => "RW1C",
            Self::WriteOneToStart => "W1S",
        }
    }
}

/// What a host write may do to the bits of a register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteRules {
    /// Bits that take the written value.
    pub writable: u64,
    /// Bits that are cleared by writing 1.
    pub clearable: u64,
}

impl WriteRules {
    /// The value after a host wrote `value` to the bits in `lanes` of a register that held `old`.
    pub const fn apply(self, old: u64, value: u64, lanes: u64) -> u64 {
        let writable = self.writable & lanes;
        ((old & !writable) | (value & writable)) & !(self.clearable & value & lanes)
    }
}

/// A field of a register.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name, as the harness prints it.
    pub name: &'static str,
    /// Number of the lowest bit, from 0.
    pub low: u8,
    /// Number of the highest bit, which belongs to the field.
    pub high: u8,
    /// What a host's write does to the field.
    pub access: FieldAccess,
    /// What the field means, for the register map.
    pub meaning: &'static str,
}

impl Field {
    /// A mask of the field's bits.
    pub const fn mask(&self) -> u64 {
        (u64::MAX >> (63 - (self.high - self.low))) << self.low
    }
}

/// A register of 1 to 64 bits.
#[derive(Debug, Clone, Copy)]
pub struct Register {
    /// The register's name in the register map.
    pub name: &'static str,
    /// Offset in bytes, from the start of what the table describes.
    pub offset: u64,
    /// Width in bits: 8, 16, 32 or 64.
    pub width: u8,
    /// Value after power-on of the bits that no capability decides.
    pub reset: u64,
    /// Clause of the specification or the part of chmu-registers it comes from.
    pub source: &'static str,
    /// Fields, lowest first. All other bits are reserved: read as 0, writes ignored.
    pub fields: &'static [Field],
}

impl Register {
    /// Bytes that the register takes.
    pub const fn bytes(&self) -> u64 {
        (self.width / 8) as u64
    }

    /// The offset of the byte after the register.
    pub const fn end(&self) -> u64 {
        self.offset + self.bytes()
    }

    /// Bits of all fields with an access rule.
    pub const fn mask(&self, access: FieldAccess) -> u64 {
        let mut mask = 0;
        let mut index = 0;
        while index < self.fields.len() {
            if self.fields[index].access as u8 == access as u8 {
                mask |= self.fields[index].mask();
            }
            index += 1;
        }
        mask
    }

    /// Bits that no field names.
    pub const fn reserved(&self) -> u64 {
        let mut defined = 0;
        let mut index = 0;
        while index < self.fields.len() {
            defined |= self.fields[index].mask();
            index += 1;
        }
        (u64::MAX >> (64 - self.width as u32)) & !defined
    }

    /// The value after a host wrote `value` to the bits in `lanes` of a register that held
    /// `old`. `locked` says that the unit is enabled. Bits that start actions are not kept.
    pub const fn write(&self, old: u64, value: u64, lanes: u64, locked: bool) -> u64 {
        self.write_rules(locked).apply(old, value, lanes)
    }

    /// What a host write may do; `locked` says that the unit is enabled.
    pub const fn write_rules(&self, locked: bool) -> WriteRules {
        let mut writable = self.mask(FieldAccess::ReadWrite);
        if !locked {
            writable |= self.mask(FieldAccess::ReadWriteUnlocked);
        }
        WriteRules {
            writable,
            clearable: self.mask(FieldAccess::WriteOneToClear),
        }
    }

    /// The action bits that a write of `value` to the bits in `lanes` starts.
    pub const fn started(&self, value: u64, lanes: u64) -> u64 {
        self.mask(FieldAccess::WriteOneToStart) & value & lanes
    }

    /// Whether the description contradicts itself: a field outside the register or over another.
    const fn is_consistent(&self) -> bool {
        let valid_width = matches!(self.width, 8 | 16 | 32 | 64);
        if !valid_width || !self.offset.is_multiple_of(self.bytes()) {
            return false;
        }
        let mut next_free = 0;
        let mut index = 0;
        while index < self.fields.len() {
            let field = &self.fields[index];
            if field.low < next_free || field.high < field.low || field.high >= self.width {
                return false;
            }
            next_free = field.high + 1;
            index += 1;
        }
        true
    }
}

/// Stops the build when a table contradicts itself: registers unsorted, overlapping or not
/// aligned to their size, fields outside their register or over each other.
pub const fn check_table(table: &[Register]) {
    let mut next_free = 0;
    let mut index = 0;
    while index < table.len() {
        assert!(
            table[index].is_consistent(),
            "a register contradicts itself"
        );
        assert!(table[index].offset >= next_free, "two registers overlap");
        next_free = table[index].end();
        index += 1;
    }
}

/// The register of a table that covers a byte offset.
pub fn find(table: &'static [Register], offset: u64) -> Option<&'static Register> {
    let after = table.partition_point(|register| register.offset <= offset);
    let register = table.get(after.checked_sub(1)?)?;
    (offset < register.end()).then_some(register)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: Register = Register {
        name: "Example",
        offset: 0x10,
        width: 32,
        reset: 0,
        source: "",
        fields: &[
            field("fixed", 0, 3, FieldAccess::ReadOnly),
            field("free", 4, 7, FieldAccess::ReadWrite),
            field("locked", 8, 15, FieldAccess::ReadWriteUnlocked),
            field("status", 16, 17, FieldAccess::WriteOneToClear),
            field("start", 20, 20, FieldAccess::WriteOneToStart),
        ],
    };

    const fn field(name: &'static str, low: u8, high: u8, access: FieldAccess) -> Field {
        Field {
            name,
            low,
            high,
            access,
            meaning: "",
        }
    }

    /// Bit by bit, from the words of the access rules.
    fn naive_write(old: u64, value: u64, lanes: u64, locked: bool) -> u64 {
        (0..32).fold(0, |result, bit| {
            let at = |word: u64| (word >> bit) & 1;
            let field = EXAMPLE
                .fields
                .iter()
                .find(|field| (field.low..=field.high).contains(&bit));
            let kept = match field.map(|field| field.access) {
                _ if at(lanes) == 0 => at(old),
                Some(FieldAccess::ReadWrite) => at(value),
                Some(FieldAccess::ReadWriteUnlocked) if !locked => at(value),
                Some(FieldAccess::WriteOneToClear) if at(value) == 1 => 0,
                _ => at(old),
            };
            result | kept << bit
        })
    }

    proptest! {
        #[test]
        fn writes_follow_the_rules(old: u32, value: u32, lanes: u32, locked: bool) {
            let (old, value, lanes) = (u64::from(old), u64::from(value), u64::from(lanes));
            prop_assert_eq!(
                EXAMPLE.write(old, value, lanes, locked),
                naive_write(old, value, lanes, locked)
            );
        }
    }

    #[test]
    fn reserved_bits_and_actions_are_known() {
        assert_eq!(EXAMPLE.reserved(), 0xffec_0000);
        assert_eq!(EXAMPLE.started(u64::MAX, u64::MAX), 1 << 20);
        assert_eq!(EXAMPLE.started(u64::MAX, 0xffff), 0);
    }

    #[test]
    fn registers_are_found_by_each_of_their_bytes() {
        static TABLE: &[Register] = &[EXAMPLE];
        let found = |offset| find(TABLE, offset).is_some();
        assert_eq!(
            [0xf, 0x10, 0x13, 0x14].map(found),
            [false, true, true, false]
        );
    }
}
