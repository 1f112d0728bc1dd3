//! What is logged: a level, or a filter by module.

use crate::api::AUDIT;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The crate's own name, as modules have it.
const OWN: &str = env!("CARGO_CRATE_NAME");

const LEVELS: &str = "error, warn, info, debug, trace and off";
const EXAMPLE: &str = "simrelay::relay=debug,info";

/// A log level or filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{filter:?} is not a log level or filter: {reason}")]
pub struct InvalidFilter {
    /// What was given.
    pub filter: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a level, or directives separated by commas.
pub(super) fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = |reason| InvalidFilter {
        filter: filter.to_owned(),
        reason,
    };
    let directives: Vec<&str> = filter.split(',').map(str::trim).collect();
    let mut given = directives
        .iter()
        .filter(|directive| !directive.is_empty())
        .peekable();
    if given.peek().is_none() {
        return Err(invalid(format!(
            "allowed are {LEVELS}, or a filter such as {EXAMPLE}"
        )));
    }
    if let Some(unknown) = given.find(|directive| !says_what(directive)) {
        return Err(invalid(format!(
            "{unknown:?} is none of {LEVELS}, and no module of simrelay; a filter is such as {EXAMPLE}"
        )));
    }
    EnvFilter::builder()
        .parse(completed(&directives.join(",")))
        .map_err(|error| invalid(error.to_string()))
}

/// Whether a directive names a level, or may do without as a module of our own, all of which is then logged. A mistyped
/// level would count as the name of a module too, and nothing else would be logged.
fn says_what(directive: &str) -> bool {
    let module = directive.split("::").next();
    directive.contains(['=', '[']) || LevelFilter::from_str(directive).is_ok() || module == Some(OWN)
}

/// The filter with what holds where it says nothing else by name: the audit log is there at any level, and the embedded
/// broker speaks of its own failures only, as its connections are in the relay's own lines.
fn completed(filter: &str) -> String {
    let usual = [(AUDIT, "info"), ("mqtt5", "error")];
    let unnamed = usual.into_iter().filter(|(target, _)| !filter.contains(target));
    unnamed.fold(filter.to_owned(), |filter, (target, level)| {
        format!("{target}={level},{filter}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_level_is_refused_with_the_words_that_there_are() {
        for bad in [
            "warning",
            "verbose",
            "infoo",
            "info,debugg",
            "simrelays",
            "rumqttc",
            "infö",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{bad:?} is not a log level or filter: ")),
                "{error}"
            );
            let last = bad.rsplit(',').next().unwrap();
            let words = format!("{last:?} is none of error, warn, info, debug, trace and off");
            assert!(error.contains(&words), "{error}");
        }
        for nothing in ["", " ", ",", " , "] {
            let error = parse(nothing).unwrap_err().to_string();
            assert!(error.contains("allowed are error, warn"), "{error}");
        }
        assert!(parse("simrelay=warning").is_err());
    }

    #[test]
    fn levels_and_filters_are_read_with_spaces_or_without() {
        for (given, expected) in [
            ("warn", "warn"),
            ("WARN", "warn"),
            ("off", "off"),
            ("info,", "info"),
            ("simrelay::relay", "simrelay::relay=trace"),
            ("simrelay=trace, info", "simrelay=trace,info"),
            (" debug , rustls=off ", "rustls=off,debug"),
        ] {
            let read = parse(given).unwrap().to_string();
            let said: Vec<_> = read
                .split(',')
                .filter(|directive| !directive.starts_with(AUDIT) && !directive.starts_with("mqtt5"))
                .collect();
            assert_eq!(said.join(","), expected, "{given:?}");
        }
    }
}
