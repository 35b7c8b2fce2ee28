// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Requests that are answered with an error while the connection lives on.

use super::protocol::{Command, MAX_DATA_BYTES};

/// Why a request is refused. Each refusal has an errno for the client and a sentence for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Another command came before `VERSION`.
    #[error("It came before VERSION")]
    NotNegotiated,
    /// `VERSION` came a second time.
    #[error("The version is negotiated already")]
    AlreadyNegotiated,
    /// The client wants another major version of the protocol.
    #[error("Protocol version {0} is not 0")]
    MajorVersion(u16),
    /// Version data that is no JSON object.
    #[error("The version data is not a JSON object")]
    VersionData(#[source] serde_json::Error),
    /// Payload shorter than the message's layout.
    #[error("{bytes} bytes of payload are fewer than the {needed} that it consists of")]
    TooShort {
        /// Bytes of payload that came.
        bytes: usize,
        /// Bytes that the command's layout takes.
        needed: usize,
    },
    /// `argsz` smaller than the layout.
    #[error("An argument size of {argument_bytes} is below the {needed} of the structure")]
    ArgumentSize {
        /// `argsz` of the request.
        argument_bytes: u32,
        /// Bytes that the command's layout takes.
        needed: usize,
    },
    /// Known, but not offered, or not known at all.
    #[error("The command is not supported")]
    Unsupported,
    /// Neither a command nor a reply.
    #[error("The header flags {0:#x} are not those of a command")]
    HeaderFlags(u32),
    /// Region index beyond the last one.
    #[error("There is no region {0}")]
    UnknownRegion(u32),
    /// More data than negotiated.
    #[error("{0} bytes are more than the {MAX_DATA_BYTES} of the largest transfer")]
    TransferSize(u32),
    /// The message does not carry as much data as it says.
    #[error("It announces {count} bytes of data and carries {carried}")]
    DataCount {
        /// Bytes of data that the request announces.
        count: u32,
        /// Bytes of data that came.
        carried: usize,
    },
    /// The access leaves its region, or the device refuses it.
    #[error("Region {region} has no {count} bytes at {offset:#x}")]
    Access {
        region: u32,
        offset: u64,
        /// Bytes of the access.
        count: u32,
    },
    /// Interrupt type beyond the last one, or one that this device does not have.
    #[error("There is no interrupt type {0}")]
    UnknownInterrupt(u32),
    /// Vectors beyond the last one.
    #[error("Vectors {start} and {count} from there are not all below {vectors}")]
    Vectors {
        /// First vector.
        start: u32,
        /// Number of vectors.
        count: u32,
        /// Vectors that there are.
        vectors: u16,
    },
    /// A combination of data type and action that makes no sense here.
    #[error("The interrupt flags {0:#x} name no supported data type and action")]
    InterruptFlags(u32),
    /// More eventfds than vectors.
    #[error("{descriptors} descriptors came for {count} vectors")]
    Descriptors {
        /// Descriptors of the message.
        descriptors: usize,
        /// Vectors of the message.
        count: u32,
    },
    /// A descriptor that is no eventfd.
    #[error("A descriptor is not an eventfd")]
    NotAnEventFd,
    /// An empty range, or one beyond the end of the address space.
    #[error("{size:#x} bytes from {address:#x} are not a range of addresses")]
    AddressRange {
        address: u64,
        /// Bytes.
        size: u64,
    },
}

impl RequestError {
    /// The errno that the reply carries.
    pub(super) fn errno(&self) -> u32 {
        let errno = match self {
            Self::Unsupported => libc::ENOTSUP,
            _ => libc::EINVAL,
        };
        errno.unsigned_abs()
    }
}

/// A refused request, with the command it came with.
#[derive(Debug, thiserror::Error)]
#[error("{} is refused", .command.name())]
pub(super) struct Refusal {
    /// The command that was refused.
    pub command: Command,
    /// What is wrong with it.
    #[source]
    pub reason: RequestError,
}
