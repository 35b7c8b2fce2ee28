// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KTAP, version 1 (Linux Documentation/dev-tools/ktap.rst), written line by line as cases end.

use std::io::{self, Write};

use super::{RunDescription, Totals, profile};
use crate::conformance::catalogue::Catalogue;
use crate::conformance::judge::Verdict;
use crate::conformance::run::CaseResult;

/// Writes the head: version and plan.
///
/// # Errors
/// When the output fails.
pub fn write_head(output: &mut impl Write, cases: usize) -> io::Result<()> {
    writeln!(output, "KTAP version 1\n1..{cases}")
}

/// Writes one result; `number` counts from 1.
///
/// # Errors
/// When the output fails.
pub fn write_result(
    output: &mut impl Write,
    number: usize,
    result: &CaseResult,
    description: &RunDescription,
    catalogue: &Catalogue,
) -> io::Result<()> {
    let CaseResult { case, verdict, .. } = result;
    match verdict {
        Verdict::Passed { reading: None } => writeln!(output, "ok {number} {case}"),
        Verdict::Passed {
            reading: Some(reading),
        } => writeln!(output, "ok {number} {case}\n# reading: {reading}"),
        Verdict::Differs(mismatch) => {
            writeln!(output, "ok {number} {case}\n# information: {mismatch}")
        }
        Verdict::Skipped(reason) => writeln!(output, "ok {number} {case} # SKIP {reason}"),
        Verdict::Failed(mismatch) => {
            writeln!(
                output,
                "not ok {number} {case}\n# {}: read {}, expected {}",
                mismatch.what, mismatch.read, mismatch.expected
            )?;
            for requirement in result
                .requirements
                .iter()
                .filter_map(|id| catalogue.find(id))
            {
                writeln!(output, "# {}: {}", requirement.id, requirement.statement)?;
            }
            write_repeat(output, description, case)
        }
        Verdict::Broken(reason) => {
            writeln!(
                output,
                "not ok {number} {case}\n# the device could not be reached: {reason}"
            )?;
            write_repeat(output, description, case)
        }
    }
}

fn write_repeat(
    output: &mut impl Write,
    description: &RunDescription,
    case: &str,
) -> io::Result<()> {
    writeln!(output, "# again: {} {case}", description.repeat_command)
}

/// Writes what follows the last result: the device's profile and the totals.
///
/// # Errors
/// When the output fails.
pub fn write_tail(output: &mut impl Write, results: &[CaseResult]) -> io::Result<()> {
    let profile: Vec<_> = profile(results).collect();
    if !profile.is_empty() {
        let width = profile
            .iter()
            .map(|(case, _)| case.len())
            .max()
            .unwrap_or(0);
        writeln!(output, "# profile:")?;
        for (case, reading) in profile {
            writeln!(output, "#   {case:width$}  {reading}")?;
        }
    }
    let totals = Totals::of(results);
    writeln!(
        output,
        "# Totals: pass:{} fail:{} skip:{} differs:{}",
        totals.passed, totals.failed, totals.skipped, totals.differs
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{description, results};
    use super::*;

    #[test]
    fn every_kind_of_result_has_its_form() {
        let catalogue = Catalogue::load().unwrap();
        let results = results();
        let mut output = Vec::new();
        write_head(&mut output, results.len()).unwrap();
        for (number, result) in (1..).zip(&results) {
            write_result(&mut output, number, result, &description(), &catalogue).unwrap();
        }
        write_tail(&mut output, &results).unwrap();
        let expected = "\
KTAP version 1
1..6
ok 1 a/one
ok 2 a/two
# reading: count >= threshold
ok 3 b/one
# information: the tail: read 1, expected 0
ok 4 b/two # SKIP the block has one instance only
not ok 5 c/one
# the tail: read 1, expected 0
# again: chmu conformance run --transport guest c/one
not ok 6 c/two
# the device could not be reached: the socket is closed
# again: chmu conformance run --transport guest c/two
# profile:
#   a/two  count >= threshold
# Totals: pass:2 fail:2 skip:1 differs:1
";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
