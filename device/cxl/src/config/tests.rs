// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configurations that no function can have.

use chmu_model::Capabilities;
use chmu_spec::address::Hpa;

use crate::testing::{GIB, MIB_256, config, decoder};
use crate::{
    ConfigError, DecoderConfig, DecoderError, Function, FunctionConfig, InterruptKind, Interrupts,
};

fn error(config: &FunctionConfig) -> ConfigError {
    Function::new(config).unwrap_err()
}

#[test]
fn memory_blocks_and_decoders_have_limits() {
    for capacity_bytes in [0, 1, MIB_256 + 1, MIB_256 - 1] {
        let config = FunctionConfig {
            capacity_bytes,
            ..config()
        };
        assert_eq!(error(&config), ConfigError::Capacity(capacity_bytes));
    }
    for blocks in [0, 9] {
        let config = FunctionConfig {
            blocks: vec![vec![Capabilities::default()]; blocks],
            ..config()
        };
        assert_eq!(error(&config), ConfigError::Blocks(blocks));
    }
    for count in [0, 11] {
        let config = FunctionConfig {
            decoders: vec![decoder(4 * GIB, MIB_256); count],
            ..config()
        };
        assert_eq!(error(&config), ConfigError::Decoders(count));
    }
    let empty_block = FunctionConfig {
        blocks: vec![vec![Capabilities::default()], Vec::new()],
        ..config()
    };
    let source = chmu_model::ConfigError::Instances(0);
    assert_eq!(error(&empty_block), ConfigError::Block { index: 1, source });
}

#[test]
fn vectors_have_limits() {
    let with = |interrupts| FunctionConfig {
        interrupts,
        ..config()
    };
    for interrupts in [
        Interrupts::Msi(0),
        Interrupts::Msi(3),
        Interrupts::Msi(64),
        Interrupts::MsiX(0),
        Interrupts::MsiX(2049),
    ] {
        let vectors = interrupts.vectors();
        assert_eq!(error(&with(interrupts)), ConfigError::Vectors(vectors));
    }
    for interrupts in [Interrupts::MsiX(1), Interrupts::Msi(1)] {
        let expected = ConfigError::MessageNumber {
            block: 0,
            message_number: 1,
            vectors: 1,
        };
        assert_eq!(error(&with(interrupts)), expected);
    }
    for interrupts in [
        Interrupts::MsiX(2),
        Interrupts::MsiX(2048),
        Interrupts::Msi(32),
    ] {
        assert!(Function::new(&with(interrupts)).is_ok());
    }
}

#[test]
fn instances_interrupt_only_in_a_device_with_interrupts() {
    for (overflow_interrupt, fill_level_interrupt, refused) in [
        (true, true, Some(InterruptKind::Overflow)),
        (false, true, Some(InterruptKind::FillLevel)),
        (false, false, None),
    ] {
        let silent = Capabilities {
            overflow_interrupt: false,
            fill_level_interrupt: false,
            ..Capabilities::default()
        };
        let second = Capabilities {
            overflow_interrupt,
            fill_level_interrupt,
            ..silent.clone()
        };
        let config = FunctionConfig {
            interrupts: Interrupts::None,
            blocks: vec![vec![silent.clone()], vec![silent, second]],
            ..config()
        };
        let expected = refused.map(|kind| ConfigError::Interrupt {
            block: 1,
            instance: 1,
            kind,
        });
        assert_eq!(Function::new(&config).err(), expected);
    }
}

/// The error of a configuration whose second decoder is this one.
fn decoder_error(second: DecoderConfig) -> DecoderError {
    let config = FunctionConfig {
        decoders: vec![decoder(4 * GIB, 2 * MIB_256), second],
        ..config()
    };
    let ConfigError::Decoder { index: 1, source } = error(&config) else {
        panic!("{:?}", error(&config));
    };
    source
}

#[test]
fn decoders_that_cannot_be_are_explained() {
    let good = decoder(5 * GIB, 2 * MIB_256);
    assert_eq!(
        decoder_error(DecoderConfig { ways: 5, ..good }),
        DecoderError::Ways(5)
    );
    let odd_granularity = DecoderConfig {
        granularity_bytes: 300,
        ..good
    };
    assert_eq!(
        decoder_error(odd_granularity),
        DecoderError::Granularity(300)
    );
    assert_eq!(
        decoder_error(DecoderConfig {
            position: 1,
            ..good
        }),
        DecoderError::Position {
            position: 1,
            ways: 1
        }
    );
    let multiple = |what, bytes, multiple| DecoderError::Multiple {
        what,
        bytes,
        multiple,
    };
    assert_eq!(
        decoder_error(decoder(5 * GIB + 4096, MIB_256)),
        multiple("base", 5 * GIB + 4096, MIB_256)
    );
    let odd_size = DecoderConfig {
        ways: 3,
        ..decoder(5 * GIB, 2 * MIB_256)
    };
    assert_eq!(
        decoder_error(odd_size),
        multiple("size", 2 * MIB_256, 3 * MIB_256)
    );
    let odd_skip = DecoderConfig {
        dpa_skip_bytes: 1,
        ..good
    };
    assert_eq!(decoder_error(odd_skip), multiple("DPA skip", 1, MIB_256));
}

#[test]
fn windows_that_cannot_be_are_explained() {
    assert_eq!(decoder_error(decoder(5 * GIB, 0)), DecoderError::Window);
    let beyond = decoder(0xffff_ffff_f000_0000, 2 * MIB_256);
    assert_eq!(
        decoder_error(beyond),
        DecoderError::Addresses { base: beyond.base }
    );
    let last = decoder((1 << 52) - MIB_256, 2 * MIB_256);
    assert_eq!(
        decoder_error(last),
        DecoderError::Addresses { base: last.base }
    );
    let fits = FunctionConfig {
        decoders: vec![decoder((1 << 52) - MIB_256, MIB_256)],
        ..config()
    };
    assert!(Function::new(&fits).is_ok());
    let next = Hpa(4 * GIB + 2 * MIB_256);
    assert_eq!(
        decoder_error(decoder(4 * GIB + MIB_256, MIB_256)),
        DecoderError::Overlap(next)
    );
    let skips = DecoderConfig {
        dpa_skip_bytes: MIB_256,
        ..decoder(5 * GIB, 2 * MIB_256)
    };
    assert_eq!(
        decoder_error(skips),
        DecoderError::Capacity {
            needed: 5 * MIB_256,
            capacity: GIB
        }
    );
}

#[test]
fn errors_read_as_sentences() {
    let error = decoder_error(decoder(4 * GIB, MIB_256));
    assert_eq!(
        error.to_string(),
        "Windows ascend, so the base must be at or above 0x120000000, where the last window ends"
    );
    let error = ConfigError::Decoder {
        index: 1,
        source: error,
    };
    assert_eq!(error.to_string(), "HDM decoder 1 is not possible");
}
