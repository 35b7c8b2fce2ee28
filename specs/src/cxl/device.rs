// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory device registers: status, mailbox and where they lie (CXL r3.1, 8.2.8).

use bitfield_struct::bitfield;

/// Bytes of the array's header and of each of its entries.
pub const ARRAY_ENTRY_BYTES: u64 = 0x10;

/// Identifiers of the capabilities in the array at the BAR's start.
pub mod capability {
    /// Device status registers: which event logs hold records.
    pub const DEVICE_STATUS: u16 = 0x0001;
    /// The mailbox for the host's own driver.
    pub const PRIMARY_MAILBOX: u16 = 0x0002;
    /// Memory device status register: whether the memory can be used.
    pub const MEMORY_DEVICE_STATUS: u16 = 0x4000;
}

/// First register of the block.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct ArrayHeader {
    /// Identifier of the array itself, which is 0.
    pub id: u16,
    /// Version of the array's layout.
    pub version: u8,
    #[bits(8)]
    __: u8,
    /// Capabilities that follow, 16 bytes each.
    pub entries: u16,
    #[bits(16)]
    __: u16,
}

/// First 8 bytes of an entry; the length in bytes follows in the next 4.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct ArrayEntry {
    /// Which capability, as in [`capability`].
    pub id: u16,
    /// Version of the capability's layout.
    pub version: u8,
    #[bits(8)]
    __: u8,
    /// Its offset from the start of the block.
    pub offset: u32,
}

/// Offsets from the start of the mailbox.
pub mod mailbox {
    /// Capabilities, 32 bits: size of the payload, interrupts.
    pub const CAPABILITIES: u64 = 0x00;
    /// Control, 32 bits: doorbell and interrupts.
    pub const CONTROL: u64 = 0x04;
    /// Command, 64 bits, see [`MailboxCommand`](super::MailboxCommand).
    pub const COMMAND: u64 = 0x08;
    /// Status, 64 bits, see [`MailboxStatus`](super::MailboxStatus).
    pub const STATUS: u64 = 0x10;
    /// Status of the command in the background, 64 bits.
    pub const BACKGROUND_STATUS: u64 = 0x18;
    /// Payload: a command's input and then its output.
    pub const PAYLOAD: u64 = 0x20;
    /// Capabilities: a message tells that the command in the background is done; bits 10:7 are its
    /// number.
    pub const BACKGROUND_INTERRUPTS: u32 = 1 << 6;
    /// Control: that message is wanted.
    pub const BACKGROUND_INTERRUPT_ENABLE: u32 = 1 << 2;
    /// Control: the host rings, the device clears when the command is done.
    pub const DOORBELL: u32 = 1 << 0;
}

/// Mailbox command register: what is asked for.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct MailboxCommand {
    /// Opcode of the command.
    pub opcode: u16,
    /// Bytes of the payload: of the input, then of the output.
    #[bits(21)]
    pub payload_bytes: u32,
    #[bits(27)]
    __: u32,
}

/// Mailbox status register: what became of the last command.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct MailboxStatus {
    /// A command runs in the background.
    pub background: bool,
    #[bits(31)]
    __: u32,
    /// How the command ended, see [`ReturnCode`](super::mailbox::ReturnCode).
    pub return_code: u16,
    /// A vendor's own code for how the command ended.
    pub vendor_code: u16,
}

/// Background command status register: what runs, or ran last, in the background.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct BackgroundStatus {
    /// Opcode of the command in the background.
    pub opcode: u16,
    /// How much of it is done; 100 when it has ended.
    #[bits(7)]
    pub percent: u8,
    #[bits(9)]
    __: u16,
    /// How the command ended, see [`ReturnCode`](super::mailbox::ReturnCode).
    pub return_code: u16,
    /// A vendor's own code for how the command ended.
    pub vendor_code: u16,
}

/// Memory device status register: whether mailbox and memory can be used.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct MemoryDeviceStatus {
    /// The device stopped working.
    pub fatal: bool,
    /// The firmware stopped.
    pub firmware_halted: bool,
    /// State of the memory; 1 is ready.
    #[bits(2)]
    pub media_status: u8,
    /// The mailbox takes commands.
    pub mailbox_ready: bool,
    /// Which reset makes the device work again; 0 none.
    #[bits(3)]
    pub reset_needed: u8,
    #[bits(56)]
    __: u64,
}

/// [`MemoryDeviceStatus::media_status`]: ready.
pub const MEDIA_READY: u8 = 1;

/// [`MemoryDeviceStatus::media_status`]: the memory is being sanitized.
pub const MEDIA_DISABLED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the kernel's contract.
    #[test]
    fn registers_equal_a_hand_transcription() {
        let header = ArrayHeader::new().with_version(1).with_entries(3);
        assert_eq!(header.into_bits(), 0x3_0001_0000);
        let entry = ArrayEntry::new()
            .with_id(capability::MEMORY_DEVICE_STATUS)
            .with_version(1)
            .with_offset(0x88);
        assert_eq!(entry.into_bits(), 0x88_0001_4000);
        let status = MemoryDeviceStatus::new()
            .with_media_status(MEDIA_READY)
            .with_mailbox_ready(true);
        assert_eq!(status.into_bits(), 0x14);
        let command = MailboxCommand::from_bits(0x45_4000 | 0xffff << 37);
        assert_eq!((command.opcode(), command.payload_bytes()), (0x4000, 0x45));
        let status = BackgroundStatus::new()
            .with_opcode(0x4400)
            .with_percent(100)
            .with_return_code(0x12);
        assert_eq!(status.into_bits(), 0x12_0064_4400);
        let status = MailboxStatus::new().with_return_code(0x16);
        assert_eq!(status.into_bits(), 0x16_0000_0000);
    }
}
