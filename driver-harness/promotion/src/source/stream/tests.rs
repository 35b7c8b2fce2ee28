// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_machine::words;
use proptest::prelude::*;

use super::*;

fn source(text: &str) -> Result<StreamSource, String> {
    let bytes: &'static [u8] = text.as_bytes().to_vec().leak();
    let stop = StopFlag::new().unwrap();
    StreamSource::begin("test".into(), Box::new(bytes), &stop, None)
        .map_err(|error| words::describe(&error))
}

fn reports(text: &str) -> Result<Vec<Report>, String> {
    let mut source = source(text)?;
    let stop = StopFlag::new().unwrap();
    let mut reports = Vec::new();
    while source.health() == Health::Good {
        let report = source
            .poll(0, &stop)
            .map_err(|error| words::describe(&error))?;
        reports.push(report);
    }
    // The last one only says that there is no more.
    if reports.last().is_some_and(|last| last.extents.is_empty()) {
        reports.pop();
    }
    Ok(reports)
}

#[test]
fn lines_are_reports() {
    let text = r#"
{"v":1,"stream":"made up","counts":{"samples":{"period":16}},"epoch_ns":100}

{"t":100,"hot":[{"frame":7,"weight":3},{"frame":9,"weight":1,"pages":4,"sharing":4}]}
{"t":250,"earliest":90,"hot":[{"pid":5,"address":4096,"weight":2}],"overflow":true,"accessor":3}
{"t":250,"hot":[{"frame":1,"weight":1}]}"#;
    let reports = reports(text).unwrap();
    let weight = |value| Weight {
        kind: WeightKind::Samples { period: 16 },
        value,
    };
    let place = |start, pages| Place::Frames {
        start: Pfn(start),
        pages,
    };
    assert_eq!(reports.len(), 3);
    assert_eq!(reports[0].extents[0].place, place(7, 1));
    assert_eq!(reports[0].extents[1].place, place(9, 4));
    assert_eq!(
        (
            reports[0].extents[1].sharing_pages,
            reports[0].extents[1].weight
        ),
        (4, weight(1))
    );
    let owned = Place::Addresses {
        process_id: 5,
        start: 4096,
        pages: 1,
    };
    assert_eq!(reports[1].extents[0].place, owned);
    assert!(reports[1].lost.overflow);
    let accessors: Vec<_> = reports.iter().map(|report| report.accessor).collect();
    assert_eq!(accessors, [None, Some(NodeId(3)), None]);
    let earliest: Vec<_> = reports
        .iter()
        .map(|report| report.earliest_access_ns)
        .collect();
    assert_eq!(earliest, [0, 90, 250]);
}

#[test]
fn a_stream_without_a_header_begins_at_once() {
    assert_eq!(
        reports(r#"{"t":1,"hot":[{"frame":7,"weight":3}]}"#)
            .unwrap()
            .len(),
        1
    );
    assert_eq!(reports("").unwrap().len(), 0);
    assert_eq!(source("").unwrap().topology().unwrap(), None);
}

#[test]
fn a_wrong_line_is_named_with_what_is_wrong() {
    let hot = r#"{"t":5,"hot":[]}"#;
    for (text, message) in [
        (
            "{\"v\":2,\"stream\":\"x\"}\n".to_owned(),
            "Line 1 of the stream test: it has version 2, and",
        ),
        (
            r#"{"v":1,"stream":"x","counts":{"samples":{"period":0}}}"#.to_owned(),
            "Line 1 of the stream test: an interval or a period of 0",
        ),
        (
            r#"{"v":1,"stream":"x","nodes":[]}"#.to_owned(),
            "Line 1 of the stream test: a machine without nodes",
        ),
        (
            r#"{"v":1,"stream":"x\u001b[31m"}"#.to_owned(),
            "Line 1 of the stream test: its name has characters",
        ),
        (
            format!("{hot}\n\nnonsense\n"),
            "Line 3 of the stream test is no report: expected",
        ),
        (
            format!("{hot}\n{{\"t\":4,\"hot\":[]}}\n"),
            "Line 2 of the stream test: its time 4 is before",
        ),
        (
            r#"{"t":5,"hot":[{"weight":1}]}"#.to_owned(),
            "Line 1 of the stream test: what is hot is named",
        ),
        (
            r#"{"t":5,"hot":[{"frame":1}]}"#.to_owned(),
            "Line 1 of the stream test is no report: missing field `weight`",
        ),
        (
            r#"{"t":5,"hot":[{"frame":1,"weight":1,"pages":0}]}"#.to_owned(),
            "Line 1 of the stream test: nothing is hot",
        ),
        (
            r#"{"t":5,"earliest":6,"hot":[]}"#.to_owned(),
            "Line 1 of the stream test: earliest is 6, after",
        ),
        (
            r#"{"t":5,"hott":[]}"#.to_owned(),
            "Line 1 of the stream test is no report: unknown field `hott`",
        ),
    ] {
        let error = reports(&text).unwrap_err();
        assert!(error.starts_with(message), "{error}");
        let (_, reason) = error.rsplit_once(": ").unwrap();
        assert_eq!(error.matches(reason).count(), 1, "{error}");
    }
}

#[test]
fn a_header_describes_the_machine() {
    let text = r#"{"v":1,"stream":"x","nodes":[{"node":0,"cpus":true,"start":0,"pages":10},
        {"node":2,"start":10,"pages":5,"distances":{"0":30}}]}"#;
    let topology = source(&text.replace('\n', " "))
        .unwrap()
        .topology()
        .unwrap()
        .unwrap();
    assert_eq!(topology.node_of(Pfn(12)).map(|node| node.0), Some(2));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"(\{"t":[0-9]{1,3},"hot":\[(\{"frame":[0-9]{1,22},"weight":-?[0-9]\})?\]\}|[\x00-\x7f]{0,20}|\n){0,5}"#) {
        let _ = reports(&text);
    }
}

#[test]
fn a_silent_pipe_keeps_nobody_from_beginning() {
    for (header, expected) in [
        (
            r#"{"v":1,"stream":"late","counts":{"samples":{"period":16}}}"#,
            None,
        ),
        (r#"{"t":1,"hot":[{"frame":7,"weight":3}]}"#, None),
        (
            r#"{"v":1,"stream":"late","nodes":[{"node":0,"cpus":true,"start":0,"pages":10}]}"#,
            Some("describes a machine of its own, which takes --dry-run and no other source"),
        ),
    ] {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let stop = StopFlag::new().unwrap();
        // Half a line is none.
        io::Write::write_all(&mut writer, &header.as_bytes()[..5]).unwrap();
        let patience = Some(Duration::from_millis(1));
        let mut source = StreamSource::open_within(Path::new(&path), &stop, patience).unwrap();
        assert_eq!(source.facts().name, path);
        let rest = format!(
            "{}\n{{\"t\":2,\"hot\":[{{\"frame\":8,\"weight\":1}}]}}\n",
            &header[5..]
        );
        io::Write::write_all(&mut writer, rest.as_bytes()).unwrap();
        drop(writer);
        let first = source.poll(0, &stop);
        match expected {
            Some(expected) => {
                let error = first.unwrap_err().to_string();
                assert!(error.ends_with(expected), "{error}");
                continue;
            }
            None => assert_eq!(first.unwrap().extents.len(), 1),
        }
        let samples = WeightKind::Samples { period: 16 };
        let is_late = header.contains("late");
        assert_eq!(source.facts().counts == samples, is_late);
        assert_eq!(source.facts().name, path);
        let second = source.poll(0, &stop).unwrap();
        assert_eq!(second.extents.is_empty(), is_late);
    }
}

#[test]
fn a_pipe_that_nobody_writes_is_left_when_a_run_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name is a string that ends with a NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let stop = StopFlag::new().unwrap();
    stop.raise();
    let source = StreamSource::open(&path, &stop).unwrap();
    assert!(source.topology().unwrap().is_none());
}
