// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configurations that an instance offers, where one of the offers may be refused.

use super::{Bench, Enabled, Setup};
use crate::outcome::Stop;

impl Bench<'_> {
    /// Enables a configuration that the instance offers and returns it: [`Bench::setup`], or where that is refused
    /// one that differs from it in a single choice. Fails as the first refusal where all are refused.
    pub fn start_any(&mut self) -> Result<Setup, Stop> {
        let setup = self.setup()?;
        let refused = match self.start(&setup) {
            Ok(()) => return Ok(setup),
            Err(Stop::Failed(found)) => found,
            Err(other) => return Err(other),
        };
        for offer in self.other_offers(&setup)? {
            self.quiesce()?;
            if self.try_start(&offer)? == Enabled::Yes {
                return Ok(offer);
            }
        }
        Err(Stop::Failed(refused))
    }

    /// A configuration that can be enabled, so that of others which differ from it in one choice it is this choice that
    /// is refused.
    pub fn working_setup(&mut self) -> Result<Setup, Stop> {
        let setup = self.start_any()?;
        self.stop()?;
        Ok(setup)
    }

    /// What else the capabilities offer, one choice apart from `setup`.
    fn other_offers(&mut self, setup: &Setup) -> Result<Vec<Setup>, Stop> {
        let mut offers = Vec::new();
        if let Some(epoch) = self.capabilities_0()?.maximum_epoch() {
            offers.push(Setup {
                epoch,
                ..setup.clone()
            });
        }
        let sizes: Vec<_> = self.unit_sizes()?.iter().collect();
        for unit_size in sizes {
            offers.push(self.with_unit_size(setup, unit_size)?);
        }
        offers.extend(self.filters()?.iter().map(|filter| Setup {
            filter,
            ..setup.clone()
        }));
        offers.retain(|offer| offer != setup);
        Ok(offers)
    }
}
