// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab mutants`.

use std::fmt::{self, Display};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use chmu_conformance::cases;
use chmu_conformance::catalogue::Catalogue;
use chmu_conformance::fools::{FOOLS, Fooled};
use chmu_conformance::mutants::everywhere::{SLOW_SHARE, blame, pairs};
use chmu_conformance::mutants::{Mutant, SETTINGS, Setting, run_all};
use chmu_lab::output::Format;
use chmu_lab::progress::Progress;
use chmu_model::Quirk;
use chmu_proof::sabotage::{HonestRun, Mutant as ProofMutant};
use chmu_proof::{Outcome, Reason};
use serde::Serialize;

use super::names;

/// Killers that a line of the matrix names.
const SHOWN_KILLERS: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Prints the rules that can be broken, and breaks none.
    #[arg(long, conflicts_with = "quirks")]
    list: bool,
    /// The rules to break; --list names them [default: all].
    #[arg(value_name = "QUIRK", value_parser = parse_quirk)]
    quirks: Vec<Quirk>,
}

fn parse_quirk(name: &str) -> Result<Quirk, String> {
    let names = || Quirk::ALL.iter().map(|quirk| quirk.name());
    Quirk::from_name(name).ok_or_else(|| match names::nearest(name, names()).as_slice() {
        [] => "cargo lab mutants --list prints what there is".to_owned(),
        nearest => format!(
            "similar ones are {}; cargo lab mutants --list prints all",
            nearest.join(", ")
        ),
    })
}

/// A rule that can be broken.
#[derive(Debug, Serialize)]
struct Rule {
    quirk: &'static str,
    layer: &'static str,
    explanation: &'static str,
}

/// All rules that can be broken.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Rules(Vec<Rule>);

impl Rules {
    fn all() -> Self {
        let rules = Quirk::ALL.iter().map(|quirk| Rule {
            quirk: quirk.name(),
            layer: quirk.layer().name(),
            explanation: quirk.explanation(),
        });
        Self(rules.collect())
    }
}

/// A line for each, by layer.
impl Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .0
            .iter()
            .map(|rule| rule.quirk.len())
            .max()
            .unwrap_or(0);
        for rules in self.0.chunk_by(|one, two| one.layer == two.layer) {
            writeln!(f, "{}", rules.first().map_or("", |rule| rule.layer))?;
            for rule in rules {
                writeln!(f, "  {:width$}  {}", rule.quirk, rule.explanation)?;
            }
        }
        Ok(())
    }
}

/// What became of the quirks.
#[derive(Debug, Serialize)]
struct Hunt {
    quirks: usize,
    killed: usize,
    survivors: Vec<&'static str>,
    cases: usize,
    requirements: usize,
    seconds: f64,
    /// Devices that fail, and for another requirement than what they break: pretenders, and quirks with the setting
    /// at which it happens.
    misattributed: Vec<String>,
    attribution: AttributionHunt,
    mutants: Vec<Row>,
    #[serde(flatten)]
    fools: Option<FoolHunt>,
    #[serde(flatten)]
    proof: Option<ProofHunt>,
}

/// Where it was looked at what quirks are blamed on.
#[derive(Debug, Serialize)]
struct AttributionHunt {
    settings: Vec<String>,
    /// Pairs of a quirk and a setting that were tried.
    tried: usize,
    /// Those that the short cases notice.
    noticed: usize,
    /// Of the quirks one in so many was tried at the last setting, whose list takes seconds to fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_at_last: Option<usize>,
}

impl AttributionHunt {
    /// Returns also what is blamed for something else.
    fn run(quirks: &[Quirk], progress: &Progress) -> (Self, Vec<String>) {
        let (pairs, done) = (pairs(quirks), AtomicUsize::new(0));
        let found = blame(&pairs, || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.percent((done * 100 / pairs.len().max(1)) as u64);
        });
        let wrong = found.iter().filter(|blamed| !blamed.is_right());
        let mut wrong: Vec<_> = wrong
            .map(|blamed| format!("{} at {}", blamed.quirk.name(), blamed.setting.name()))
            .collect();
        wrong.sort();
        let hunt = Self {
            settings: SETTINGS.map(device).to_vec(),
            tried: pairs.len(),
            noticed: found.len(),
            share_at_last: (pairs.len() < quirks.len() * SETTINGS.len()).then_some(SLOW_SHARE),
        };
        (hunt, wrong)
    }
}

/// A line.
impl Display for AttributionHunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "What is blamed was looked at for {} of {} pairs of a quirk and one of {}",
            self.noticed,
            self.tried,
            self.settings.join(", ")
        )?;
        match self.share_at_last {
            Some(share) => writeln!(f, "; at the last one of {share} quirks was tried"),
            None => writeln!(f),
        }
    }
}

/// What became of devices that only pretend.
#[derive(Debug, Serialize)]
struct FoolHunt {
    fooling: usize,
    fooling_killed: usize,
    fooling_survivors: Vec<&'static str>,
    fooling_rows: Vec<FoolRow>,
}

/// A device that only pretends.
#[derive(Debug, Serialize)]
struct FoolRow {
    device: &'static str,
    explanation: &'static str,
    /// The case that is the cause of what fails.
    case: Option<&'static str>,
    requirements: Vec<String>,
}

impl FoolHunt {
    /// Returns also the devices that are blamed for something else.
    fn run() -> (Self, Vec<&'static str>) {
        let judged: Vec<_> = FOOLS.iter().map(|fool| fool.judge()).collect();
        let names = |chosen: fn(&Fooled) -> bool| {
            let chosen = judged.iter().filter(|fooled| chosen(fooled));
            chosen.map(|fooled| fooled.fool.name).collect::<Vec<_>>()
        };
        let survivors = names(|fooled| fooled.case.is_none());
        let wrong = names(|fooled| fooled.case.is_some() && !fooled.is_rightly_failed());
        let rows = judged.iter().map(|fooled| FoolRow {
            device: fooled.fool.name,
            explanation: fooled.fool.pretends,
            case: fooled.case,
            requirements: fooled.requirements.clone(),
        });
        let hunt = Self {
            fooling: judged.len(),
            fooling_killed: judged.len() - survivors.len(),
            fooling_survivors: survivors,
            fooling_rows: rows.collect(),
        };
        (hunt, wrong)
    }
}

/// A line for each device.
impl Display for FoolHunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.fooling_rows.iter().map(|row| row.device.len());
        let width = names.max().unwrap_or(0);
        writeln!(f, "devices that only pretend")?;
        for row in &self.fooling_rows {
            let case = row.case.unwrap_or("survives");
            writeln!(f, "  {:width$}  {case}", row.device)?;
        }
        writeln!(
            f,
            "\n{} of {} devices that only pretend failed",
            self.fooling_killed, self.fooling
        )
    }
}

/// What became of ways to promote wrongly.
#[derive(Debug, Serialize)]
struct ProofHunt {
    proof_mutants: usize,
    proof_killed: usize,
    proof_survivors: Vec<&'static str>,
    /// Right promotions that the proof called wrong.
    proof_accused: Vec<&'static str>,
    proof_rows: Vec<ProofRow>,
}

/// A way to promote wrongly.
#[derive(Debug, Serialize)]
struct ProofRow {
    mutant: &'static str,
    part: &'static str,
    explanation: &'static str,
    /// Why the proof must fail.
    reason: Reason,
    killed: bool,
}

impl ProofHunt {
    fn run() -> anyhow::Result<ProofHunt> {
        let failed =
            |name: &str, error: String| anyhow::anyhow!("The run of {name} failed: {error}");
        let mut accused = Vec::new();
        for run in HonestRun::all() {
            let verdict = run.prove().map_err(|error| failed(run.name, error))?;
            if verdict.verdict != Outcome::Pass {
                log::debug!("{}: {verdict}", run.name);
                accused.push(run.name);
            }
        }
        let hunt = |mutant: ProofMutant| {
            let hunt = mutant.hunt().map_err(|error| failed(mutant.name, error))?;
            log::debug!("{}: {}", mutant.name, hunt.verdict);
            anyhow::Ok(ProofRow {
                mutant: mutant.name,
                part: mutant.part.name(),
                explanation: mutant.explanation,
                reason: mutant.reason,
                killed: hunt.is_killed,
            })
        };
        let rows = ProofMutant::all()
            .into_iter()
            .map(hunt)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let survivors = rows.iter().filter(|row| !row.killed).map(|row| row.mutant);
        let survivors: Vec<_> = survivors.collect();
        Ok(ProofHunt {
            proof_mutants: rows.len(),
            proof_killed: rows.len() - survivors.len(),
            proof_survivors: survivors,
            proof_accused: accused,
            proof_rows: rows,
        })
    }

    fn is_good(&self) -> bool {
        self.proof_survivors.is_empty() && self.proof_accused.is_empty()
    }
}

/// A line for each mutant, by the part that it replaces.
impl Display for ProofHunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .proof_rows
            .iter()
            .map(|row| row.mutant.len())
            .max()
            .unwrap_or(0);
        for rows in self.proof_rows.chunk_by(|one, two| one.part == two.part) {
            writeln!(f, "proof: {}", rows.first().map_or("", |row| row.part))?;
            for row in rows {
                let outcome = match row.killed {
                    true => row.reason.text().1,
                    false => "survives",
                };
                writeln!(f, "  {:width$}  {outcome}", row.mutant)?;
            }
        }
        writeln!(
            f,
            "\n{} of {} wrong promotions noticed by the proof, each for its own reason",
            self.proof_killed, self.proof_mutants
        )?;
        if !self.proof_survivors.is_empty() {
            writeln!(f, "Survivors: {}", self.proof_survivors.join(", "))?;
        }
        match self.proof_accused.is_empty() {
            true => Ok(()),
            false => writeln!(
                f,
                "Right, and called wrong: {}",
                self.proof_accused.join(", ")
            ),
        }
    }
}

/// A line of the matrix.
#[derive(Debug, Serialize)]
struct Row {
    quirk: &'static str,
    layer: &'static str,
    explanation: &'static str,
    killers: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    only_strict: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        options.output.print(&Rules::all())?;
        return Ok(ExitCode::SUCCESS);
    }
    let catalogue = Catalogue::load().context("The catalogue of requirements is damaged")?;
    let quirks = match options.quirks.as_slice() {
        [] => Quirk::ALL,
        chosen => chosen,
    };
    let (start, progress, done) = (Instant::now(), Progress::new(), AtomicUsize::new(0));
    progress.step("Breaking rules");
    let mutants = run_all(quirks, |mutant| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        log::debug!("{}: {:?}", mutant.quirk.name(), mutant.failures.cases);
        progress.percent((done * 100 / quirks.len()) as u64);
    });
    progress.step("Looking at what is blamed");
    let (attribution, mut misattributed) = AttributionHunt::run(quirks, &progress);
    // What only long cases notice.
    for mutant in mutants.iter().filter(|mutant| mutant.is_misattributed()) {
        let name = mutant.quirk.name();
        if !misattributed
            .iter()
            .any(|wrong| wrong.starts_with(&format!("{name} at ")))
        {
            misattributed.push(name.to_owned());
        }
    }
    // Whoever names quirks asks for these only.
    let (fools, proof) = match options.quirks.is_empty() {
        true => {
            progress.step("Pretending");
            let (fools, wrong) = FoolHunt::run();
            misattributed.extend(wrong.into_iter().map(str::to_owned));
            progress.step("Promoting wrongly");
            (Some(fools), Some(ProofHunt::run()?))
        }
        false => (None, None),
    };
    drop(progress);
    let rows: Vec<_> = mutants.iter().map(Row::new).collect();
    let survivors: Vec<_> = rows
        .iter()
        .filter(|row| row.killers.is_empty())
        .map(|row| row.quirk)
        .collect();
    let hunt = Hunt {
        quirks: rows.len(),
        killed: rows.len() - survivors.len(),
        survivors,
        cases: cases::all().len(),
        requirements: catalogue.requirements().len(),
        seconds: start.elapsed().as_secs_f64(),
        misattributed,
        attribution,
        mutants: rows,
        fools,
        proof,
    };
    options.output.print(&hunt)?;
    Ok(match hunt.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Hunt {
    fn is_good(&self) -> bool {
        let fools = self.fools.as_ref();
        self.survivors.is_empty()
            && self.misattributed.is_empty()
            && fools.is_none_or(|fools| fools.fooling_survivors.is_empty())
            && self.proof.as_ref().is_none_or(ProofHunt::is_good)
    }
}

impl Row {
    fn new(mutant: &Mutant) -> Self {
        Self {
            quirk: mutant.quirk.name(),
            layer: mutant.quirk.layer().name(),
            explanation: mutant.quirk.explanation(),
            killers: mutant.failures.cases.clone(),
            device: mutant.setting.map(device),
            only_strict: mutant.failures.are_only_strict(),
        }
    }

    fn killer_names(&self) -> String {
        let shown = self.killers.iter().take(SHOWN_KILLERS).copied();
        let mut names = shown.collect::<Vec<_>>().join(", ");
        if self.killers.len() > SHOWN_KILLERS {
            names += ", ...";
        }
        match names.is_empty() {
            true => "survives".to_owned(),
            false => names,
        }
    }
}

/// The device and the instance that show the quirk first.
fn device(setting: Setting) -> String {
    let (block, instance) = setting.instance;
    let ways = match setting.ways {
        1 => String::new(),
        ways => format!(" {ways}-way"),
    };
    format!("{}{ways} {block}.{instance}", setting.profile.name())
}

/// A line for each quirk, by layer.
impl Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Row) -> usize| self.mutants.iter().map(text).max().unwrap_or(0);
        let quirk_width = width(|row| row.quirk.len());
        let device_width = width(|row| row.device.as_ref().map_or(0, String::len));
        for rows in self.mutants.chunk_by(|one, two| one.layer == two.layer) {
            writeln!(f, "{}", rows.first().map_or("", |row| row.layer))?;
            for row in rows {
                let device = row.device.as_deref().unwrap_or_default();
                let mark = if row.only_strict { "strict" } else { "" };
                writeln!(
                    f,
                    "  {:quirk_width$}  {:>3}  {device:device_width$}  {mark:6}  {}",
                    row.quirk,
                    row.killers.len(),
                    row.killer_names(),
                )?;
            }
        }
        writeln!(
            f,
            "\n{} of {} quirks killed by {} cases for {} requirements in {:.1} s",
            self.killed, self.quirks, self.cases, self.requirements, self.seconds
        )?;
        if !self.survivors.is_empty() {
            writeln!(f, "Survivors: {}", self.survivors.join(", "))?;
        }
        write!(f, "{}", self.attribution)?;
        if !self.misattributed.is_empty() {
            writeln!(
                f,
                "Blamed for something else: {}",
                self.misattributed.join(", ")
            )?;
        }
        if let Some(fools) = &self.fools {
            write!(f, "\n{fools}")?;
        }
        match &self.proof {
            Some(proof) => write!(f, "\n{proof}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quirk: &'static str, layer: &'static str, killers: &[&'static str]) -> Row {
        Row {
            quirk,
            layer,
            explanation: "",
            killers: killers.to_vec(),
            device: (!killers.is_empty()).then(|| "full 0.0".to_owned()),
            only_strict: killers.len() == 1,
        }
    }

    #[test]
    fn the_matrix_is_aligned_and_names_survivors() {
        let hunt = Hunt {
            quirks: 3,
            killed: 2,
            survivors: vec!["two"],
            cases: 4,
            requirements: 5,
            seconds: 1.25,
            misattributed: vec!["one at full 0.0".to_owned()],
            attribution: AttributionHunt {
                settings: vec!["full 0.0".to_owned(), "huge-list 0.0".to_owned()],
                tried: 5,
                noticed: 3,
                share_at_last: Some(40),
            },
            fools: Some(FoolHunt {
                fooling: 2,
                fooling_killed: 1,
                fooling_survivors: vec!["deaf"],
                fooling_rows: vec![
                    FoolRow {
                        device: "silent",
                        explanation: "",
                        case: Some("c/1"),
                        requirements: Vec::new(),
                    },
                    FoolRow {
                        device: "deaf",
                        explanation: "",
                        case: None,
                        requirements: Vec::new(),
                    },
                ],
            }),
            mutants: vec![
                row("one", "status", &["a/1", "a/2", "a/3", "a/4"]),
                row("two", "status", &[]),
                row("three", "epoch", &["b/1"]),
            ],
            proof: Some(ProofHunt {
                proof_mutants: 2,
                proof_killed: 1,
                proof_survivors: vec!["idle"],
                proof_accused: Vec::new(),
                proof_rows: vec![
                    ProofRow {
                        mutant: "third-node",
                        part: "actuator",
                        explanation: "",
                        reason: Reason::ColdPageMoved,
                        killed: true,
                    },
                    ProofRow {
                        mutant: "idle",
                        part: "queue",
                        explanation: "",
                        reason: Reason::NotPromoted,
                        killed: false,
                    },
                ],
            }),
        };
        let expected = "\
status
  one      4  full 0.0          a/1, a/2, a/3, ...
  two      0                    survives
epoch
  three    1  full 0.0  strict  b/1

2 of 3 quirks killed by 4 cases for 5 requirements in 1.2 s
Survivors: two
What is blamed was looked at for 3 of 5 pairs of a quirk and one of full 0.0, huge-list 0.0; at the last one of 40 quirks was tried
Blamed for something else: one at full 0.0

devices that only pretend
  silent  c/1
  deaf    survives

1 of 2 devices that only pretend failed

proof: actuator
  third-node  cold pages were moved
proof: queue
  idle        survives

1 of 2 wrong promotions noticed by the proof, each for its own reason
Survivors: idle
";
        assert_eq!(hunt.to_string(), expected);
    }
}
