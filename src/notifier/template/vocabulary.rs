//! The filters and tests that a template names: the engine itself looks for them only when it gets there, with a message
//! in its hands.

use super::TemplateError;
use crate::json::unknown;
use minijinja::machinery::{Token, tokenize};
use minijinja::{Environment, context};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As in `message|upper` and `{% filter upper %}`.
    Filter,
    /// As in `json is defined`.
    Test,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
        }
    }

    /// The names to guess from what was meant. The engine knows which there are, but does not list them.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Filter => &[
                "abs",
                "attr",
                "batch",
                "bool",
                "capitalize",
                "chain",
                "count",
                "d",
                "default",
                "dictsort",
                "e",
                "escape",
                "first",
                "float",
                "format",
                "groupby",
                "indent",
                "int",
                "items",
                "join",
                "last",
                "length",
                "lines",
                "list",
                "lower",
                "map",
                "max",
                "min",
                "pprint",
                "reject",
                "rejectattr",
                "replace",
                "reverse",
                "round",
                "safe",
                "select",
                "selectattr",
                "slice",
                "sort",
                "split",
                "string",
                "sum",
                "title",
                "tojson",
                "trim",
                "unique",
                "upper",
                "zip",
            ],
            Self::Test => &[
                "boolean",
                "defined",
                "divisibleby",
                "endingwith",
                "eq",
                "equalto",
                "escaped",
                "even",
                "false",
                "filter",
                "float",
                "ge",
                "greaterthan",
                "gt",
                "in",
                "int",
                "integer",
                "iterable",
                "le",
                "lessthan",
                "lower",
                "lt",
                "mapping",
                "ne",
                "none",
                "number",
                "odd",
                "safe",
                "sameas",
                "sequence",
                "startingwith",
                "string",
                "test",
                "true",
                "undefined",
                "upper",
            ],
        }
    }

    fn is_known(self, name: &str, environment: &Environment<'_>) -> bool {
        let question = match self {
            Self::Filter => "name is filter",
            Self::Test => "name is test",
        };
        environment
            .compile_expression(question)
            .and_then(|question| question.eval(context! { name }))
            .is_ok_and(|answer| answer.is_true())
    }
}

/// Refuses a filter or a test that is not there, in a template that can be read.
pub(super) fn check(text: &str, environment: &Environment<'_>) -> Result<(), TemplateError> {
    for (kind, name) in named(text) {
        if !kind.is_known(&name, environment) {
            return Err(TemplateError::Unknown {
                advice: unknown(kind.word(), &name, kind.names()),
                name,
            });
        }
    }
    Ok(())
}

/// All that are named, in the order of the text.
fn named(text: &str) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    // What the next name is, if it is one that matters.
    let mut expected = None;
    let mut before = None;
    for (token, _) in tokenize(text, false, Default::default()).map_while(Result::ok) {
        expected = match (&token, before) {
            (Token::Pipe, _) => Some(Kind::Filter),
            (Token::Ident("filter"), Some(Before::BlockStart)) => Some(Kind::Filter),
            (Token::Ident("is"), before) if before != Some(Before::Dot) => Some(Kind::Test),
            (Token::Ident("not"), _) if expected == Some(Kind::Test) => expected,
            (Token::Ident(name), _) => {
                found.extend(expected.map(|kind| (kind, (*name).to_owned())));
                None
            }
            _ => None,
        };
        before = match token {
            Token::BlockStart => Some(Before::BlockStart),
            Token::Dot => Some(Before::Dot),
            _ => None,
        };
    }
    found
}

/// What a name follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    BlockStart,
    Dot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_are_guessed_from_are_there() {
        let environment = Environment::new();
        for kind in [Kind::Filter, Kind::Test] {
            for name in kind.names() {
                assert!(kind.is_known(name, &environment), "{kind:?} {name}");
            }
        }
    }

    #[test]
    fn filters_and_tests_are_found_wherever_they_stand() {
        let text = "a|b {# |c #} {{ json.is | upper|default('|d') }} {% raw %}{{ x|e }}{% endraw %}
                    {% if json is not defined and topic is startingwith('f|g') %}{% filter trim|lower %}|h{% endfilter %}{% endif %}
                    {% set x | title %}{% endset %}{{ [1]|map('upper') }}";
        let (filter, test) = (Kind::Filter, Kind::Test);
        let expected = [
            (filter, "upper"),
            (filter, "default"),
            (test, "defined"),
            (test, "startingwith"),
            (filter, "trim"),
            (filter, "lower"),
            (filter, "title"),
            (filter, "map"),
        ];
        assert_eq!(named(text), expected.map(|(kind, name)| (kind, name.to_owned())));
    }
}
