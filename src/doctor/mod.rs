//! `simrelay doctor`: walks from the broker to the subscriber, and names the step that fails and what to do.

mod broker;
mod notifications;
mod relay;
mod service;

use std::fmt;

use serde_json::{Value, json};

pub use broker::{Rehearsal, broker, rehearse};
pub use notifications::notifications;
pub use relay::relay;
pub(crate) use service::near;
pub use service::{Port, bridge, notifier, port};

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Not wrong, but to be known.
    Note,
}

/// One step and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step, in one word.
    pub step: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do; empty if nothing.
    pub advice: String,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn good(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Verdict::Good, what, "")
    }

    /// Something is wrong, and this is to be done.
    #[must_use]
    pub fn bad(step: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(step, Verdict::Bad, what, advice)
    }

    /// Something is as it may be.
    #[must_use]
    pub fn note(step: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(step, Verdict::Note, what, advice)
    }

    /// The same, said of this service.
    #[must_use]
    pub fn of(mut self, service: &str) -> Self {
        self.what = format!("{service}: {}", self.what);
        self
    }

    fn new(step: &'static str, verdict: Verdict, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            step,
            verdict,
            what: what.into(),
            advice: advice.into(),
        }
    }
}

/// Everything that was found, in the order of the way of a message.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis(pub Vec<Finding>);

impl Diagnosis {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.first_bad().is_none()
    }

    fn first_bad(&self) -> Option<&Finding> {
        self.0.iter().find(|finding| finding.verdict == Verdict::Bad)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let step = |finding: &Finding| {
            json!({
                "step": finding.step,
                "result": finding.verdict.word(),
                "found": finding.what,
                "advice": finding.advice,
            })
        };
        let steps: Vec<_> = self.0.iter().map(step).collect();
        json!({
            "ok": self.is_good(),
            "failed": self.first_bad().map(|finding| finding.step),
            "steps": steps,
        })
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Bad => "failed",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let mark = match finding.verdict {
                Verdict::Good => "ok  ",
                Verdict::Bad => "FAIL",
                Verdict::Note => "note",
            };
            writeln!(f, "{mark}  {:<9} {}", finding.step, finding.what)?;
            if !finding.advice.is_empty() {
                writeln!(f, "      {:<9} -> {}", "", finding.advice)?;
            }
        }
        match self.first_bad() {
            None => writeln!(f, "\nNothing is wrong as far as this can be seen."),
            Some(finding) => writeln!(f, "\nFirst to mend: {}", finding.step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_one_to_mend() {
        let diagnosis = Diagnosis(vec![
            Finding::good("name", "a"),
            Finding::note("relay", "b", "c"),
            Finding::bad("broker", "d", "e"),
            Finding::bad("bridge", "f", "g"),
        ]);
        assert!(!diagnosis.is_good());
        assert_eq!(diagnosis.json()["failed"], "broker");
        let text = diagnosis.to_string();
        assert!(text.contains("FAIL  broker    d\n                -> e"), "{text}");
        assert!(text.ends_with("First to mend: broker\n"), "{text}");
        assert!(Diagnosis::default().is_good());
    }
}
