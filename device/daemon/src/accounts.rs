// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many requests each part of memory served, as the producer of accesses counts them.

use chmu_ring::{Traffic, VcpuAccount, Window};
use serde::Serialize;

/// Requests to memory: with a cache model the lines that were filled and written back, without one
/// the loads and the stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Requests {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

/// Requests to one window of the device's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WindowRequests {
    /// Host physical address of its first byte.
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) requests: Requests,
}

/// What some vCPUs did while the device was armed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// Instructions of the guest, as of each vCPU's last interrupt.
    pub(crate) instructions: u64,
    /// By window of the device's memory.
    pub(crate) windows: Vec<WindowRequests>,
    /// Requests to memory that is not the device's.
    pub(crate) elsewhere: Requests,
}

/// The account of one vCPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OfVcpu {
    pub(crate) vcpu: u32,
    #[serde(flatten)]
    pub(crate) account: Account,
}

/// The accounts of all vCPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Accounts {
    #[serde(flatten)]
    pub(crate) total: Account,
    /// Those that did anything.
    pub(crate) vcpus: Vec<OfVcpu>,
}

impl Accounts {
    /// The accounts in which a feed with these windows has what its vCPUs did.
    pub(crate) fn new(windows: &[Window], accounts: &[VcpuAccount]) -> Self {
        let mut total = VcpuAccount {
            windows: vec![Traffic::default(); windows.len()],
            ..VcpuAccount::default()
        };
        for account in accounts {
            total.instructions = total.instructions.saturating_add(account.instructions);
            total.elsewhere = total.elsewhere.saturating_add(account.elsewhere);
            for (sum, traffic) in total.windows.iter_mut().zip(&account.windows) {
                *sum = sum.saturating_add(*traffic);
            }
        }
        let of_vcpu = |account: &VcpuAccount| OfVcpu {
            vcpu: account.vcpu,
            account: Account::new(windows, account),
        };
        Self {
            total: Account::new(windows, &total),
            vcpus: accounts.iter().map(of_vcpu).collect(),
        }
    }
}

impl Account {
    fn new(windows: &[Window], account: &VcpuAccount) -> Self {
        let windows = windows.iter().zip(&account.windows);
        Self {
            instructions: account.instructions,
            windows: windows
                .map(|(window, traffic)| WindowRequests {
                    base: window.base,
                    bytes: window.size,
                    requests: (*traffic).into(),
                })
                .collect(),
            elsewhere: account.elsewhere.into(),
        }
    }
}

impl From<Traffic> for Requests {
    fn from(traffic: Traffic) -> Self {
        Self {
            reads: traffic.reads,
            writes: traffic.writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accounts_are_told_by_vcpu_and_in_all() {
        let windows = [0x10_0000, 0x20_0000].map(|base| Window { base, size: 0x1000 });
        let traffic = |reads, writes| Traffic { reads, writes };
        let account = |vcpu, instructions, windows: [Traffic; 2], elsewhere| VcpuAccount {
            vcpu,
            instructions,
            windows: windows.to_vec(),
            elsewhere,
        };
        let accounts = [
            account(0, 100, [traffic(1, 2), traffic(3, 4)], traffic(5, 6)),
            account(
                7,
                u64::MAX,
                [traffic(10, 20), traffic(30, 40)],
                traffic(50, u64::MAX),
            ),
        ];
        let told = serde_json::to_value(Accounts::new(&windows, &accounts)).unwrap();
        assert_eq!(told["instructions"], u64::MAX);
        assert_eq!(told["elsewhere"], json!({"reads": 55, "writes": u64::MAX}));
        let window = |base: u64, reads: u64, writes: u64| json!({"base": base, "bytes": 4096, "reads": reads, "writes": writes});
        let sums = json!([window(0x10_0000, 11, 22), window(0x20_0000, 33, 44)]);
        assert_eq!(told["windows"], sums);
        assert_eq!(
            told["vcpus"][0],
            json!({
                "vcpu": 0,
                "instructions": 100,
                "windows": [window(0x10_0000, 1, 2), window(0x20_0000, 3, 4)],
                "elsewhere": {"reads": 5, "writes": 6},
            })
        );
        assert_eq!(told["vcpus"][1]["vcpu"], 7);
        assert_eq!(told["vcpus"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn without_a_producer_nothing_was_done() {
        let window = Window {
            base: 0,
            size: 0x1000,
        };
        let told = Accounts::new(&[window], &[]);
        assert_eq!(told.total.windows[0].requests, Requests::default());
        assert_eq!(told.vcpus, []);
    }
}
