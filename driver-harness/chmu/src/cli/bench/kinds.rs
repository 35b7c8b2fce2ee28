// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What DAMON makes of each kind of page, and whether the actuator says so.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::memory::{Buffer, PAGE_BYTES, page_map};
use chmu_promotion::{Batch, Candidate, Direction, Fate, Folio, Route};
use serde::Serialize;

use super::actuator::Mover;

mod area;

use area::Area;

/// Pages of each kind.
const PAGES: u64 = 16;
const HUGE_BYTES: u64 = 2 << 20;
/// As often as an actuator must be told that something holds a page.
const ATTEMPTS: u32 = 3;
/// Looks for pages that the kernel merges by and by.
const MERGE_LOOKS: u32 = 100;
const MERGE_PAUSE: Duration = Duration::from_millis(50);

/// What became of pages of one kind.
#[derive(Debug, Serialize)]
pub(super) struct Kind {
    name: &'static str,
    /// How many folios had which fate, at the last attempt.
    fates: BTreeMap<String, usize>,
    pub(super) is_right: bool,
    /// Why there are no such pages here.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.skipped {
            return write!(f, "{:<22} skipped: {reason}", self.name);
        }
        let fates: Vec<_> = self
            .fates
            .iter()
            .map(|(fate, count)| format!("{count} {fate}"))
            .collect();
        let right = if self.is_right { "right" } else { "WRONG" };
        write!(f, "{:<22} {right}: {}", self.name, fates.join(", "))
    }
}

/// A kind's fates, and whether the pages are where these say.
type Outcome = Result<(Vec<Fate>, bool)>;

/// Tries each kind.
pub(super) fn check(mover: &mut Mover, route: Route) -> Result<Vec<Kind>> {
    let moved = Fate::Moved { node: route.target };
    let all = |wanted: Fate| move |fate: &Fate| *fate == wanted;
    let gone = |fate: &Fate| matches!(fate, Fate::Gone | Fate::Unseen | Fate::NotLru);
    let mut bench = Bench { mover, route };
    Ok(vec![
        kind("anonymous", bench.buffer(|_| Ok(())), all(moved)),
        kind("mlocked", bench.buffer(Buffer::lock), all(moved)),
        kind("shared", bench.shared(), all(moved)),
        kind("unmapped page cache", bench.unmapped(), all(moved)),
        kind("pinned", bench.pinned(), all(Fate::Pinned)),
        kind("freed", bench.freed(), gone),
        kind("merged (KSM)", bench.merged(), all(moved)),
        kind(
            "transparent huge page",
            bench.transparent_huge(),
            all(moved),
        ),
        kind("hugetlb", bench.hugetlb(), all(Fate::Hugetlb)),
    ])
}

fn kind(name: &'static str, outcome: Outcome, is_wanted: impl Fn(&Fate) -> bool) -> Kind {
    let mut kind = Kind {
        name,
        fates: BTreeMap::new(),
        is_right: true,
        skipped: None,
    };
    match outcome {
        Ok((fates, is_there)) => {
            kind.is_right = is_there && !fates.is_empty() && fates.iter().all(is_wanted);
            for fate in fates {
                *kind.fates.entry(format!("{fate:?}")).or_default() += 1;
            }
            if !is_there {
                kind.fates.insert("elsewhere than said".into(), 1);
            }
        }
        Err(error) => kind.skipped = Some(format!("{error:#}")),
    }
    kind
}

struct Bench<'a> {
    mover: &'a mut Mover,
    route: Route,
}

impl Bench<'_> {
    /// Tries each folio until it has moved or there is a reason why not, as the engine does.
    fn promote(&mut self, heads: &[(u64, u64)]) -> Result<Vec<Fate>> {
        let mut fates = vec![Fate::Stayed; heads.len()];
        let mut pending: Vec<usize> = (0..heads.len()).collect();
        for _ in 0..ATTEMPTS {
            // What was filled or tried a moment ago waits in its processor's list.
            numa::drain_reclaim_batches()?;
            let candidates = pending.iter().map(|&place| Candidate {
                folio: Folio {
                    head: chmu_spec::address::Pfn(heads[place].0),
                    pages: heads[place].1,
                },
                owner: None,
            });
            let batch = Batch {
                number: 0,
                direction: Direction::Promotion,
                route: self.route,
                candidates: candidates.collect(),
            };
            let (tried, _) = self.mover.promote(&batch)?;
            for (&place, fate) in pending.iter().zip(tried) {
                fates[place] = fate;
            }
            let may_move = |fate| matches!(fate, Fate::Stayed | Fate::Busy | Fate::NotLru);
            pending.retain(|&place| may_move(fates[place]));
            if pending.is_empty() {
                break;
            }
        }
        Ok(fates)
    }

    /// Whether mapped pages are where their fates say.
    fn agrees(&self, addresses: &[u64], fates: &[Fate]) -> Result<bool> {
        let places = numa::query_pages(std::process::id(), addresses)?;
        let agree = places.iter().zip(fates).all(|(place, fate)| match fate {
            Fate::Moved { node } => *place == Placement::Node(*node),
            _ => *place == Placement::Node(self.route.source),
        });
        Ok(agree)
    }

    fn buffer(&mut self, prepare: impl Fn(&Buffer) -> io::Result<()>) -> Outcome {
        let mut buffer = Buffer::map(PAGES)?;
        buffer.fill(self.route.source, |page, place| page + place)?;
        prepare(&buffer)?;
        let addresses = buffer.page_addresses();
        let fates = self.promote(&frames(&addresses)?)?;
        let is_there = self.agrees(&addresses, &fates)?;
        let is_whole = (0..PAGES).all(|page| buffer.read(page, 7) == page + 7);
        Ok((fates, is_there && is_whole))
    }

    fn shared(&mut self) -> Outcome {
        let area = Area::shared(PAGES * PAGE_BYTES)?;
        area.fill(self.route.source)?;
        let addresses = area.page_addresses();
        let fates = self.promote(&frames(&addresses)?)?;
        let is_there = self.agrees(&addresses, &fates)?;
        Ok((fates, is_there))
    }

    /// Page cache of a file that no process maps.
    fn unmapped(&mut self) -> Outcome {
        let file = memory_file()?;
        file.set_len(PAGES * PAGE_BYTES)?;
        let area = Area::of_file(&file, PAGES * PAGE_BYTES)?;
        area.fill(self.route.source)?;
        let heads = frames(&area.page_addresses())?;
        drop(area);
        let fates = self.promote(&heads)?;
        let area = Area::of_file(&file, PAGES * PAGE_BYTES)?;
        area.read();
        let is_there = self.agrees(&area.page_addresses(), &fates)?;
        Ok((fates, is_there))
    }

    /// Pages that a pipe holds.
    fn pinned(&mut self) -> Outcome {
        let mut buffer = Buffer::map(PAGES)?;
        buffer.fill(self.route.source, |page, place| page + place)?;
        let (_reader, writer) = io::pipe()?;
        area::give_to_pipe(&writer, buffer.address(), PAGES * PAGE_BYTES)?;
        let addresses = buffer.page_addresses();
        let heads = frames(&addresses)?;
        let fates = self.promote(&heads)?;
        let is_there = self.agrees(&addresses, &fates)?;
        Ok((fates, is_there))
    }

    fn freed(&mut self) -> Outcome {
        let mut buffer = Buffer::map(PAGES)?;
        buffer.fill(self.route.source, |page, place| page + place)?;
        let heads = frames(&buffer.page_addresses())?;
        drop(buffer);
        Ok((self.promote(&heads)?, true))
    }

    fn merged(&mut self) -> Outcome {
        let running = Setting::change(Path::new("/sys/kernel/mm/ksm/run"), "1")?;
        let _pause = Setting::change(Path::new("/sys/kernel/mm/ksm/sleep_millisecs"), "10")?;
        let area = Area::private(PAGES * PAGE_BYTES, 0)?;
        area.fill(self.route.source)?;
        area.advise(libc::MADV_MERGEABLE)?;
        let flags = PageFlagsFile::open(Path::new("/proc/kpageflags"))?;
        let addresses = area.page_addresses();
        for _ in 0..MERGE_LOOKS {
            let mut heads = frames(&addresses)?;
            heads.sort_unstable();
            heads.dedup();
            let head = heads.first().copied().context("No page is present")?;
            let first = flags.read(chmu_spec::address::Pfn(head.0))?;
            if heads.len() == 1 && first.contains(PageFlags::KSM) {
                // While the kernel looks for more it holds the page now and then.
                drop(running);
                let fates = self.promote(&heads)?;
                let is_there = self.agrees(&addresses, &vec![fates[0]; addresses.len()])?;
                return Ok((fates, is_there));
            }
            thread::sleep(MERGE_PAUSE);
        }
        anyhow::bail!("the kernel has not merged equal pages")
    }

    fn transparent_huge(&mut self) -> Outcome {
        let switch = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
        let _enabled = Setting::change(switch, "madvise")?;
        let area = Area::private(2 * HUGE_BYTES, 0)?;
        area.advise(libc::MADV_HUGEPAGE)?;
        area.fill(self.route.source)?;
        let address = area.address().next_multiple_of(HUGE_BYTES);
        let head = frames(&[address])?;
        let head = head.first().context("No page is present")?.0;
        let flags = PageFlagsFile::open(Path::new("/proc/kpageflags"))?;
        let first = flags.read(chmu_spec::address::Pfn(head))?;
        anyhow::ensure!(
            first.contains(PageFlags::THP | PageFlags::COMPOUND_HEAD),
            "the kernel gave no huge page"
        );
        let fates = self.promote(&[(head, HUGE_BYTES / PAGE_BYTES)])?;
        let pages = [
            address,
            address + HUGE_BYTES / 2,
            address + HUGE_BYTES - PAGE_BYTES,
        ];
        let is_there = self.agrees(&pages, &[fates[0]; 3])?;
        Ok((fates, is_there))
    }

    fn hugetlb(&mut self) -> Outcome {
        let pool = PathBuf::from(format!(
            "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages",
            self.route.source
        ));
        let _pool = Setting::change(&pool, "2")?;
        let area = Area::private(HUGE_BYTES, libc::MAP_HUGETLB)?;
        area.fill(self.route.source)?;
        let head = frames(&[area.address()])?;
        let head = head.first().context("No page is present")?.0;
        let fates = self.promote(&[(head, HUGE_BYTES / PAGE_BYTES)])?;
        let is_there = self.agrees(&[area.address()], &fates)?;
        Ok((fates, is_there))
    }
}

/// The frames of present pages, each a folio of its own.
fn frames(addresses: &[u64]) -> Result<Vec<(u64, u64)>> {
    let mut frames = Vec::new();
    for &address in addresses {
        let mapped = page_map::read(std::process::id(), address, 1)?;
        let frame = mapped.frames.first().copied().flatten();
        frames.push((frame.context("A page is not present")?.0, 1));
    }
    Ok(frames)
}

fn memory_file() -> Result<File> {
    // SAFETY: the name is a string that ends with zero.
    let file = unsafe { libc::memfd_create(c"chmu-bench".as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(io::Error::last_os_error()).context("Cannot make a file in memory");
    }
    // SAFETY: the descriptor is open and nobody else's.
    Ok(unsafe { File::from_raw_fd(file) })
}

/// A setting of the kernel that is put back.
struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    fn change(path: &Path, value: &str) -> Result<Setting> {
        let shown = || format!("The kernel has no {}", path.display());
        let text = fs::read_to_string(path).with_context(shown)?;
        // A choice among several shows the one that holds in brackets.
        let chosen = text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'));
        let before = chosen.map_or(text.trim(), |(chosen, _)| chosen).to_owned();
        let setting = Setting {
            path: path.to_owned(),
            before,
        };
        fs::write(path, value).with_context(|| format!("Cannot write to {}", path.display()))?;
        Ok(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            log::warn!("{} stays changed: {error}", self.path.display());
        }
    }
}
