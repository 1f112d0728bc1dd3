//! Strict reading of JSON objects that goes on after a problem, so that an admin sees all of them at once.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::problem::{Problem, Segment, quote, unknown};

/// Where in a document the reader is. Costs nothing until there is a problem to tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The document itself.
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            path: self.segments(),
            message: message.into(),
        }
    }

    fn segments(&self) -> Vec<Segment> {
        let mut segments = self.parent.map(Path::segments).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => segments.push(Segment::Key(key.to_owned())),
            Step::Index(index) => segments.push(Segment::Index(index)),
        }
        segments
    }
}

/// A JSON object that is being read, and the list that takes its problems.
#[derive(Debug)]
pub(crate) struct Object<'a, 'p> {
    pub(crate) fields: &'a Map<String, Value>,
    path: &'p Path<'p>,
    problems: &'p mut Vec<Problem>,
}

impl<'a, 'p> Object<'a, 'p> {
    /// `value` as an object; anything else is a problem.
    pub(crate) fn new(value: &'a Value, path: &'p Path<'p>, problems: &'p mut Vec<Problem>) -> Option<Self> {
        if let Some(fields) = value.as_object() {
            return Some(Self {
                fields,
                path,
                problems,
            });
        }
        problems.push(path.problem(format!("{} is not an object", quote(value))));
        None
    }

    /// Adds a problem of the field `key`.
    pub(crate) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.path.key(key).problem(message));
    }

    /// Refuses every field that is not in `known`.
    pub(crate) fn refuse_unknown(&mut self, known: &[&str]) {
        let fields = self.fields;
        for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
            self.refuse(key, unknown("field", key, known));
        }
    }

    /// A string.
    pub(crate) fn string(&mut self, key: &str) -> Option<&'a str> {
        let value = self.fields.get(key)?;
        if value.as_str().is_none() {
            self.refuse(key, format!("{} is not a string", quote(value)));
        }
        value.as_str()
    }

    /// Like [`Self::string`] for a value that no error may quote.
    pub(crate) fn secret(&mut self, key: &str) -> Option<&'a str> {
        let value = self.fields.get(key)?;
        if value.as_str().is_none() {
            self.refuse(key, "the value is not a string");
        }
        value.as_str()
    }

    /// Like [`Self::string`] for a field that has to be there.
    pub(crate) fn required_string(&mut self, key: &str) -> Option<&'a str> {
        if !self.fields.contains_key(key) {
            let message = format!("the field {key:?} is missing");
            self.problems.push(self.path.problem(message));
        }
        self.string(key)
    }

    /// What `parse` makes of a string; its error is the problem.
    pub(crate) fn parse<T, E: ToString>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string(key)?;
        self.parse_text(key, text, parse)
    }

    /// Like [`Self::parse`] for a field that has to be there.
    pub(crate) fn require<T, E: ToString>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.required_string(key)?;
        self.parse_text(key, text, parse)
    }

    /// Like [`Self::parse`] for a `text` that is in the field `key`, or stands for it.
    pub(crate) fn parse_text<T, E: ToString>(
        &mut self,
        key: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(text)
            .map_err(|error| self.refuse(key, error.to_string()))
            .ok()
    }

    pub(crate) fn boolean(&mut self, key: &str, default: bool) -> bool {
        match self.fields.get(key) {
            None => default,
            Some(Value::Bool(value)) => *value,
            Some(other) => {
                self.refuse(key, format!("{} is not true or false", quote(other)));
                default
            }
        }
    }

    /// A whole number in `range`.
    pub(crate) fn whole_number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let value = self.fields.get(key)?;
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            self.refuse(
                key,
                format!("{} is not a whole number from {least} to {most}", quote(value)),
            );
        }
        number
    }

    /// The member `key`, its path and the problems, to read further inside.
    pub(crate) fn member<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a Value, &Path<'_>, &mut Vec<Problem>) -> T,
    ) -> Option<T> {
        let value = self.fields.get(key)?;
        Some(read(value, &self.path.key(key), self.problems))
    }
}
