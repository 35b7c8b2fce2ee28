// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Workers of DAMON (kdamonds), which the parts of this process share out among themselves.
//!
//! The kernel makes and removes all workers at once, and only while none of them runs. So all that one
//! process may need are made for the first part that asks, and go with the last one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use chmu_machine::lock::LockFile;
use chmu_machine::refusal::Host;
use chmu_machine::sysfs_file::{self, SysfsError};

use super::control;
use super::error::{DamonError, without_damon};
use super::ownership::{self, Places, Remains};

/// Two that move pages, and some that watch.
const WORKERS: usize = 5;
/// Modules that keep DAMON for themselves while enabled.
const EXCLUSIVE_MODULES: [&str; 3] = ["damon_stat", "damon_reclaim", "damon_lru_sort"];

/// The pools of this process, by the folder of their workers.
static POOLS: Mutex<BTreeMap<PathBuf, Weak<Pool>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Pool {
    count_file: PathBuf,
    /// Workers that were there before, all of them off.
    before: u64,
    free: Mutex<Vec<usize>>,
    _lock: Option<LockFile>,
}

/// A worker that nobody else of this process uses, until it is dropped; it must be off by then.
#[derive(Debug)]
pub(crate) struct Worker {
    pool: Arc<Pool>,
    number: usize,
    folder: PathBuf,
}

impl Worker {
    /// Claims a worker that is off. What a killed run of ours left is taken back first.
    ///
    /// # Errors
    /// When the kernel has no DAMON that programs can set up, this user may not, somebody else does, or
    /// all workers of this process are in use.
    pub(crate) fn claim(places: &Places) -> Result<Worker, DamonError> {
        let kdamonds = places.kdamonds();
        let pool = {
            let mut pools = guard(&POOLS);
            let shared = pools.get(&kdamonds).and_then(Weak::upgrade);
            match shared {
                Some(pool) => pool,
                None => {
                    let pool = Arc::new(Pool::make(places)?);
                    pools.insert(kdamonds.clone(), Arc::downgrade(&pool));
                    pool
                }
            }
        };
        let number = guard(&pool.free).pop();
        let number = number.ok_or(DamonError::NoWorkerLeft { workers: WORKERS })?;
        Ok(Worker {
            folder: kdamonds.join(number.to_string()),
            pool,
            number,
        })
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut free = guard(&self.pool.free);
        free.push(self.number);
        free.sort_unstable_by(|first, second| second.cmp(first));
    }
}

impl Pool {
    fn make(places: &Places) -> Result<Pool, DamonError> {
        let count_file = places.kdamonds().join("nr_kdamonds");
        if !count_file.exists() {
            return Err(DamonError::Absent {
                refusal: without_damon(&places.sysfs),
                folder: places.kdamonds(),
            });
        }
        check_exclusive(&places.sysfs)?;
        let lock = ownership::claim(places)?;
        match ownership::take_back(places)? {
            Remains::None => {}
            Remains::TakenBack { .. } => {
                log::warn!("A run that was killed had left DAMON set up; it was taken back");
            }
        }
        let before = sysfs_file::number(&count_file).map_err(refused)?;
        control::write(&count_file, &WORKERS.to_string()).map_err(refused)?;
        Ok(Pool {
            count_file,
            before,
            free: Mutex::new((0..WORKERS).rev().collect()),
            _lock: lock,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Err(error) = control::write(&self.count_file, &self.before.to_string()) {
            log::warn!("DAMON stays set up: {error}; chmu reset takes it back");
        }
    }
}

fn refused(source: SysfsError) -> DamonError {
    let refusal = source
        .errno()
        .and_then(|errno| Host::this().write_refusal(errno));
    match refusal {
        Some(refusal) => DamonError::Refused { refusal, source },
        None => source.into(),
    }
}

fn check_exclusive(sysfs: &Path) -> Result<(), DamonError> {
    for module in EXCLUSIVE_MODULES {
        let switch = sysfs.join(format!("module/{module}/parameters/enabled"));
        if sysfs_file::text(&switch).is_ok_and(|value| value == "Y") {
            return Err(DamonError::Exclusive { module, switch });
        }
    }
    Ok(())
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn places(root: &Path) -> Places {
        let kdamonds = root.join("sys/kernel/mm/damon/admin/kdamonds");
        fs::create_dir_all(&kdamonds).unwrap();
        fs::write(kdamonds.join("nr_kdamonds"), "0").unwrap();
        Places {
            sysfs: root.join("sys"),
            procfs: root.join("proc"),
            runtime: root.join("run"),
        }
    }

    #[test]
    fn workers_are_made_once_and_go_with_the_last_one() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let count = || fs::read_to_string(places.kdamonds().join("nr_kdamonds")).unwrap();
        let first = Worker::claim(&places).unwrap();
        let second = Worker::claim(&places).unwrap();
        assert_eq!(count(), "5");
        assert!(first.folder().ends_with("0") && second.folder().ends_with("1"));
        drop(first);
        assert_eq!(count(), "5", "removing workers while one runs is refused");
        let others: Vec<_> = (0..4).map(|_| Worker::claim(&places).unwrap()).collect();
        assert!(others[0].folder().ends_with("0"));
        assert_eq!(
            Worker::claim(&places).unwrap_err().to_string(),
            "All 5 DAMON workers of this run are in use; name fewer sources"
        );
        drop((second, others));
        assert_eq!(count(), "0");
    }
}
