// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What devices say that the guest's processors did.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Requests to memory: lines filled and written back, or loads and stores with `cache=none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Lines filled.
    pub reads: u64,
    /// Lines written back.
    pub writes: u64,
}

impl Requests {
    pub(super) fn plus(self, other: Requests) -> Requests {
        Requests {
            reads: self.reads.saturating_add(other.reads),
            writes: self.writes.saturating_add(other.writes),
        }
    }

    fn minus(self, other: Requests) -> Requests {
        Requests {
            reads: self.reads.saturating_sub(other.reads),
            writes: self.writes.saturating_sub(other.writes),
        }
    }
}

/// What all processors of the guest did, since they were first counted or in a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Instructions, as of each processor's last interrupt.
    pub instructions: u64,
    /// Requests to the devices' memory.
    pub cxl: Requests,
    /// Requests to all other memory.
    pub other: Requests,
}

#[derive(Debug, Deserialize)]
struct Statistics {
    feed: Feed,
}

#[derive(Debug, Deserialize)]
struct Feed {
    accounts: Account,
    vcpus_without_ring: u64,
}

#[derive(Debug, Deserialize)]
struct Account {
    instructions: u64,
    windows: Vec<Requests>,
    elsewhere: Requests,
}

impl Counted {
    /// By the statistics of all devices of a machine.
    ///
    /// # Errors
    /// When they are not what the device's program says, or leave a processor of the guest out.
    pub fn of_devices(statistics: &[Value]) -> Result<Counted> {
        let feeds = statistics.iter().map(|one| {
            let one =
                Statistics::deserialize(one).context("A device's statistics have no account")?;
            anyhow::ensure!(
                one.feed.vcpus_without_ring == 0,
                "A device counts nothing of {} of the guest's processors; raise its access_rings",
                one.feed.vcpus_without_ring
            );
            Ok(one.feed.accounts)
        });
        let accounts = feeds.collect::<Result<Vec<_>>>()?;
        let own = |account: &Account| {
            let windows = account.windows.iter().copied();
            windows.fold(Requests::default(), Requests::plus)
        };
        let Some((first, others)) = accounts.split_first() else {
            return Ok(Counted::default());
        };
        // To each device the others' memory is other memory.
        let of_others = others
            .iter()
            .map(own)
            .fold(Requests::default(), Requests::plus);
        Ok(Counted {
            instructions: first.instructions,
            cxl: own(first).plus(of_others),
            other: first.elsewhere.minus(of_others),
        })
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Counted) -> Counted {
        Counted {
            instructions: self.instructions.saturating_sub(before.instructions),
            cxl: self.cxl.minus(before.cxl),
            other: self.other.minus(before.other),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Counted) -> Counted {
        Counted {
            instructions: self.instructions.saturating_add(other.instructions),
            cxl: self.cxl.plus(other.cxl),
            other: self.other.plus(other.other),
        }
    }

    /// The devices' share of all lines filled; none while nothing was filled.
    pub fn cxl_share(self) -> Option<f64> {
        let all = self.cxl.reads.saturating_add(self.other.reads);
        #[expect(clippy::cast_precision_loss)]
        (all > 0).then(|| self.cxl.reads as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn device(windows: &[(u64, u64)], elsewhere: (u64, u64), without_ring: u64) -> Value {
        let requests = |&(reads, writes): &(u64, u64)| json!({"reads": reads, "writes": writes});
        let windows: Vec<_> = windows.iter().map(requests).collect();
        json!({"accesses": 7, "feed": {
            "vcpus_without_ring": without_ring,
            "accounts": {"instructions": 90, "windows": windows, "elsewhere": requests(&elsewhere), "vcpus": []},
        }})
    }

    #[test]
    fn memory_of_another_device_is_no_other_memory() {
        // 5 and 2 of the first, 3 and 1 of the second, 10 and 4 of neither.
        let devices = [
            device(&[(4, 2), (1, 0)], (13, 5), 0),
            device(&[(3, 1)], (15, 6), 0),
        ];
        let counted = Counted::of_devices(&devices).unwrap();
        assert_eq!((counted.cxl.reads, counted.cxl.writes), (8, 3));
        assert_eq!((counted.other.reads, counted.other.writes), (10, 4));
        assert_eq!(counted.instructions, 90);
        assert_eq!(counted.cxl_share(), Some(8.0 / 18.0));
        assert_eq!(counted.since(counted), Counted::default());
        assert_eq!(Counted::default().cxl_share(), None);
    }

    #[test]
    fn what_leaves_something_out_is_refused() {
        let error = |value| Counted::of_devices(&[value]).unwrap_err().to_string();
        assert!(error(json!({"accesses": 7})).contains("no account"));
        assert!(error(device(&[], (0, 0), 2)).contains("nothing of 2 of the guest's processors"));
    }
}
