// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A source's own thread.

use std::io;

use super::*;
use crate::report::{Facts, Health, Report};
use crate::testing::facts;

/// Is lost when it is asked for other settings.
#[derive(Debug)]
struct Lost {
    facts: Facts,
    is_gone: bool,
}

impl HotnessSource for Lost {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        Ok(Report::default())
    }

    fn retune(&mut self, _: &Tuning) -> Result<Tuning, SourceError> {
        self.is_gone = true;
        Err(SourceError::Wait {
            unit: "lost".into(),
            source: io::ErrorKind::Other.into(),
        })
    }

    fn health(&self) -> Health {
        match self.is_gone {
            true => Health::Gone("it is lost".into()),
            false => Health::Good,
        }
    }
}

#[test]
fn a_source_that_is_lost_by_other_settings_has_failed() {
    let (wish, wishes) = mpsc::channel();
    wish.send(Tuning::default()).unwrap();
    let (sender, messages) = mpsc::sync_channel(8);
    let mut lost = Lost {
        facts: facts("lost"),
        is_gone: false,
    };
    let stop = StopFlag::new().unwrap();
    let asked = ask((0, &mut lost), &wishes, &sender, &stop);
    assert!(asked.is_err(), "it came to its end without a failure");
    drop(sender);
    assert_eq!(messages.iter().count(), 0);
}
