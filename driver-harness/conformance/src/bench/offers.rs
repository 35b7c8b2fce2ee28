// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configurations that an instance offers, where one of the offers may be refused.

use super::{Bench, Enabled, Setup};
use crate::outcome::Stop;

impl Bench<'_> {
    /// Enables a configuration that the instance offers and returns it: [`Bench::setup`], or where that is refused
    /// one that differs from it in a single choice. Fails as the first refusal where all are refused.
    pub fn start_any(&mut self) -> Result<Setup, Stop> {
        let setup = self.setup()?;
        let refused = match self.must_start(&setup) {
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

    /// Which of its two limits the epoch of a refused configuration is, where the same configuration is accepted with
    /// the other.
    pub(super) fn refused_limit(&mut self, refused: &Setup) -> Result<Option<&'static str>, Stop> {
        let capabilities = self.capabilities_0()?;
        let (Some(shortest), Some(longest)) =
            (capabilities.minimum_epoch(), capabilities.maximum_epoch())
        else {
            return Ok(None);
        };
        let (limit, epoch) = match refused.epoch {
            _ if shortest == longest => return Ok(None),
            epoch if epoch == shortest => ("shortest", longest),
            epoch if epoch == longest => ("longest", shortest),
            _ => return Ok(None),
        };
        let other = Setup {
            epoch,
            ..refused.clone()
        };
        self.quiesce()?;
        let accepted = self.try_start(&other)?;
        self.stop_whatever_runs()?;
        Ok((accepted == Enabled::Yes).then_some(limit))
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
