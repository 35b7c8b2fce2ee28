// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Requests and their answers, on both kinds of sockets.

use serde::{Deserialize, Serialize};

use super::board::Copies;
use crate::status::{Status, prometheus};

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// A JSON object each, in a line of its own.
    Lines,
    /// HTTP/1.1, one request for each connection.
    Http,
}

/// What is sent back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// The connection ends with it.
    pub(super) is_last: bool,
}

/// A line that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(super) enum Request {
    /// How the run is.
    Status,
    /// The same for Prometheus.
    Metrics,
}

/// A line that answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Status(&'a Status),
    Metrics(String),
    Error(String),
}

/// The same as who asked reads it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Status(Box<Status>),
    Error(String),
}

impl Speech {
    /// Where the first request of these bytes ends; none when that is still to come.
    pub(super) fn end_of_request(self, input: &[u8]) -> Option<usize> {
        match self {
            Speech::Lines => Some(input.iter().position(|byte| *byte == b'\n')? + 1),
            Speech::Http => {
                let mut ends = input.windows(4);
                Some(ends.position(|bytes| bytes == b"\r\n\r\n")? + 4)
            }
        }
    }

    /// Answers a whole request.
    pub(super) fn answer(self, request: &[u8], copies: &mut Copies) -> Answer {
        match self {
            Speech::Lines => match serde_json::from_slice(request) {
                Ok(Request::Status) => line(&Line::Status(copies.recent()), false),
                Ok(Request::Metrics) => {
                    line(&Line::Metrics(prometheus::text(copies.recent())), false)
                }
                Err(error) => line(
                    &Line::Error(format!(
                        "No request: {error}; write {{\"request\":\"status\"}} or \
                         {{\"request\":\"metrics\"}}"
                    )),
                    false,
                ),
            },
            Speech::Http => match request.starts_with(b"GET ") {
                true => page(
                    "200 OK",
                    prometheus::CONTENT_TYPE,
                    &prometheus::text(copies.recent()),
                ),
                false => page(
                    "405 Method Not Allowed",
                    "text/plain",
                    "Only GET is known\n",
                ),
            },
        }
    }

    /// Answers a request that does not end.
    pub(super) fn too_long(self) -> Answer {
        match self {
            Speech::Lines => line(&Line::Error("The request is too long".to_owned()), true),
            Speech::Http => page(
                "431 Request Header Fields Too Large",
                "text/plain",
                "The request is too long\n",
            ),
        }
    }
}

fn line(answer: &Line<'_>, is_last: bool) -> Answer {
    // Its maps have names for keys, and names are text: this cannot fail.
    let mut bytes = serde_json::to_vec(answer).unwrap_or_default();
    bytes.push(b'\n');
    Answer { bytes, is_last }
}

fn page(code: &str, kind: &str, text: &str) -> Answer {
    let length = text.len();
    let page = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}"
    );
    Answer {
        bytes: page.into_bytes(),
        is_last: true,
    }
}
