// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many guests run at a time.

use std::num::NonZeroUsize;
use std::thread;

/// Unless the user says more: a guest takes memory, too.
const MOST: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not zero");

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Jobs {
    /// Guests that run at a time [default: one for each processor, up to 4]. Each keeps a little more than one
    /// processor busy.
    #[arg(short, long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
}

impl Jobs {
    /// As the user has it, or as many as this machine carries.
    pub(super) fn at_once(self) -> NonZeroUsize {
        let carried =
            || thread::available_parallelism().map_or(NonZeroUsize::MIN, |it| it.min(MOST));
        self.jobs.unwrap_or_else(carried)
    }
}
