// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The oracle's socket: a request a line, an answer a line, both JSON.

use serde::{Deserialize, Serialize};

use super::OracleState;
use crate::device::Device;

/// The version of requests and answers.
const VERSION: u32 = 1;
/// Pages in an answer at most, and where a request names no number.
const MAX_PAGES: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    v: u32,
    /// Comes back with the answer.
    id: u64,
    request: Kind,
    mark: Option<u64>,
    from_frame: Option<u64>,
    until_frame: Option<u64>,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Counts from zero, from now on.
    Mark,
    /// Tells how exact the counts are.
    State,
    /// The same, and counts.
    Counts,
    /// Counts no more.
    Stop,
}

#[derive(Debug, Serialize)]
struct Answer {
    v: u32,
    id: u64,
    state: OracleState,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
}

#[derive(Debug, Serialize)]
struct Counts {
    /// Frame and accesses of each page that was accessed, ascending.
    counts: Vec<(u64, u64)>,
    /// The first frame that has no place in this answer; none when all have.
    next_frame: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    v: u32,
    /// None when the request's could not be read.
    id: Option<u64>,
    error: String,
}

/// Does what a line asks for, and answers with what came of it.
pub(crate) fn answer(device: &mut Device, line: &str) -> String {
    let answer = match serde_json::from_str::<Request>(line) {
        Err(error) => Err((None, format!("This is no request: {error}"))),
        Ok(request) => {
            let id = request.id;
            handle(device, &request).map_err(|error| (Some(id), error))
        }
    };
    let text = match answer {
        Ok(answer) => serde_json::to_string(&answer),
        Err((id, error)) => serde_json::to_string(&Refusal {
            v: VERSION,
            id,
            error,
        }),
    };
    text.unwrap_or_else(|error| {
        log::error!("An answer of the oracle cannot be written as JSON: {error}");
        String::new()
    })
}

fn handle(device: &mut Device, request: &Request) -> Result<Answer, String> {
    if request.v != VERSION {
        let asked = request.v;
        return Err(format!(
            "Version {asked} is not known here; write {VERSION}"
        ));
    }
    let has_range = request.from_frame.is_some() || request.until_frame.is_some();
    if request.request != Kind::Counts && (has_range || request.limit.is_some()) {
        return Err("Only counts are asked for by from_frame, until_frame and limit".to_owned());
    }
    let mut counts = None;
    match (request.request, request.mark) {
        (Kind::Mark | Kind::State, Some(_)) => {
            return Err("A mark is named to get its counts, or to stop them".to_owned());
        }
        (Kind::Counts | Kind::Stop, None) => {
            return Err("Name the mark whose counts are meant".to_owned());
        }
        (Kind::Mark, None) => device.mark_oracle(),
        (Kind::State, None) => {}
        (Kind::Counts, Some(mark)) => counts = Some(count(device, request, mark)?),
        (Kind::Stop, Some(mark)) => {
            check_mark(device, mark)?;
            device.stop_oracle();
        }
    }
    Ok(Answer {
        v: VERSION,
        id: request.id,
        state: device.oracle_state(),
        counts,
    })
}

fn count(device: &mut Device, request: &Request, mark: u64) -> Result<Counts, String> {
    check_mark(device, mark)?;
    let frames = request.from_frame.unwrap_or(0)..request.until_frame.unwrap_or(u64::MAX);
    let limit = match request.limit.unwrap_or(MAX_PAGES) {
        0 => return Err("An answer without pages answers nothing; limit starts at 1".to_owned()),
        limit => limit.min(MAX_PAGES),
    };
    let counted = device.oracle().counts(mark);
    let (counts, next_frame) =
        counted.map_or_else(Default::default, |counted| counted.page_of(frames, limit));
    Ok(Counts { counts, next_frame })
}

/// Refuses a mark that another one has replaced.
fn check_mark(device: &mut Device, mark: u64) -> Result<(), String> {
    device.catch_up();
    match device.oracle().current_mark() {
        Some(current) if current == mark => Ok(()),
        Some(current) => Err(format!(
            "Mark {mark} is over: somebody has set mark {current}, from which is counted now"
        )),
        None => Err(format!("Mark {mark} is over: nothing is counted now")),
    }
}
