// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a configuration describes a device, and if not, which key is to blame.

use chmu_cxl::{ConfigError as FunctionError, DecoderError, Function, InterruptKind};
use chmu_model::{Block, BlockConfig, ConfigError as BlockError, QuirkSet};

use super::file::{ConfigError, ConfigFile};
use super::{Config, InstanceTable};
use crate::descriptors::RESERVED;
use crate::logging::chain;

impl Config {
    /// Checks that a device can be made of this completed configuration.
    ///
    /// # Errors
    /// When it cannot; the error points into `file` if there is one.
    pub fn check(&self, file: Option<&ConfigFile>) -> Result<(), ConfigError> {
        let Err(error) = Function::new(&self.function()) else {
            return Ok(());
        };
        let message = chain(&error);
        let Some(file) = file else {
            return Err(ConfigError::Device(message));
        };
        let path = self.path_to(&error);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut paths = vec![path.clone()];
        if let ["decoder", index, _] = path.as_slice() {
            // Where the key to blame is left out, one that made it so.
            paths.extend(["size", "dpa_skip", "ways"].map(|key| vec!["decoder", index, key]));
        }
        paths.push(other_path(&error).to_vec());
        let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
        Err(file.error_in(&paths, message))
    }

    /// Checks that a process with `limit` file descriptors can take one for each vector.
    ///
    /// # Errors
    /// When it cannot; the error points into `file` if there is one.
    pub fn check_descriptors(
        &self,
        limit: u64,
        file: Option<&ConfigFile>,
    ) -> Result<(), ConfigError> {
        let vectors = u64::from(self.function().interrupts.vectors());
        let possible = limit.saturating_sub(RESERVED);
        if vectors <= possible {
            return Ok(());
        }
        let needed = vectors.saturating_add(RESERVED);
        let fewer = match possible {
            0 => String::new(),
            possible => format!(", or configure {possible} vectors at most"),
        };
        let message = format!(
            "{vectors} interrupt vectors need as many file descriptors, and the device {RESERVED} \
             more, but this process may have {limit} (RLIMIT_NOFILE); raise its limit, as by \
             `ulimit -n {needed}`{fewer}"
        );
        Err(match file {
            Some(file) => file.error_in(&[&["vectors"], &["profile"]], message),
            None => ConfigError::Device(message),
        })
    }

    /// The key that an error is about, as steps from the top of the file.
    fn path_to(&self, error: &FunctionError) -> Vec<String> {
        let path = |steps: &[&dyn ToString]| steps.iter().map(|step| step.to_string()).collect();
        match error {
            FunctionError::Capacity(_) => path(&[&"memory"]),
            FunctionError::Latency => path(&[&"latency"]),
            FunctionError::Bandwidth => path(&[&"bandwidth"]),
            FunctionError::HdmDecoders(_) => path(&[&"hdm_decoders"]),
            FunctionError::Decoders(_) => path(&[&"decoder"]),
            FunctionError::Decoder { index, source } => {
                path(&[&"decoder", index, &decoder_key(source)])
            }
            FunctionError::Quirks(..) => path(&[&"quirk"]),
            FunctionError::Blocks(_) => path(&[&"block"]),
            FunctionError::Vectors(_) => path(&[&"vectors"]),
            FunctionError::Block { index, source } => match block_key(source) {
                BlockKey::Memory => path(&[&"memory"]),
                BlockKey::Instances => path(&[&"block", index, &"instance"]),
                BlockKey::Instance(key) => {
                    let instance = self.instance(*index, |table| self.is_refused(table));
                    path(&[&"block", index, &"instance", &instance, &key])
                }
            },
            FunctionError::Interrupt {
                block,
                instance,
                kind,
            } => {
                let key = match kind {
                    InterruptKind::Overflow => "overflow_interrupt",
                    InterruptKind::FillLevel => "fill_level_interrupt",
                };
                path(&[&"block", block, &"instance", instance, &key])
            }
            FunctionError::MessageNumber {
                block,
                message_number,
                ..
            } => {
                let instance = self.instance(*block, |table| {
                    table.message_number == Some(*message_number)
                });
                path(&[&"block", block, &"instance", &instance, &"message_number"])
            }
        }
    }

    /// The first instance of a block that `is_meant`.
    fn instance(&self, block: usize, is_meant: impl Fn(&InstanceTable) -> bool) -> usize {
        let block = self.blocks.iter().flatten().nth(block);
        let mut instances = block.iter().flat_map(|block| &block.instances);
        instances.position(is_meant).unwrap_or_default()
    }

    /// Whether a block with this instance alone is not possible.
    fn is_refused(&self, table: &InstanceTable) -> bool {
        Block::new(&BlockConfig {
            capacity_bytes: self.memory.0,
            instances: vec![table.capabilities()],
            quirks: QuirkSet::NONE,
        })
        .is_err()
    }
}

/// Another key that contradicts, for where the file leaves the first one out.
const fn other_path(error: &FunctionError) -> &[&str] {
    match error {
        FunctionError::MessageNumber { .. } => &["vectors"],
        FunctionError::Interrupt { .. } => &["interrupts"],
        FunctionError::Decoder { .. } => &["memory"],
        _ => &["profile"],
    }
}

/// The key that a decoder's error is about.
fn decoder_key(error: &DecoderError) -> &'static str {
    match error {
        DecoderError::Ways(_) => "ways",
        DecoderError::Granularity(_) => "granularity",
        DecoderError::Position { .. } => "position",
        DecoderError::Multiple { what: "base", .. }
        | DecoderError::Overlap(_)
        | DecoderError::Addresses { .. } => "base",
        DecoderError::Multiple { what: "size", .. }
        | DecoderError::Window
        | DecoderError::Capacity { .. } => "size",
        DecoderError::Multiple { .. } => "dpa_skip",
    }
}

/// Where the cause of a block's error stands.
enum BlockKey {
    /// The size of the memory.
    Memory,
    /// The number of instances in a block.
    Instances,
    /// A key of one instance.
    Instance(&'static str),
}

fn block_key(error: &BlockError) -> BlockKey {
    BlockKey::Instance(match error {
        BlockError::Instances(_) => return BlockKey::Instances,
        BlockError::Capacity { .. } => return BlockKey::Memory,
        BlockError::HotlistEntries(_) => "hotlist_entries",
        BlockError::CounterWidth | BlockError::UnitIndex { .. } => "counter_widths",
        BlockError::MessageNumber(_) => "message_number",
        BlockError::UnitSizes => "unit_sizes",
        BlockError::TrackableRequests => "trackable_requests",
        BlockError::Modes => "epoch_mode",
        BlockError::Epochs => "minimum_epoch",
        BlockError::DownSampling => "down_sampling_factors",
        BlockError::OperationDelay(_) => "operation_delay",
    })
}
