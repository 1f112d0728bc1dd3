//! Secrets of a configuration: named where they can be found, read when they are needed, shown by nobody.

use crate::json::{Object, Path, Problem};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable.
    Environment(String),
    /// In a file, without the white space around it; read anew each time, so that it can be exchanged.
    File(PathBuf),
    /// In the configuration itself, because an admin wants it there.
    Inline(Zeroizing<String>),
}

/// A secret that cannot be had, and where it was looked for.
#[derive(Debug, thiserror::Error)]
pub enum MissingSecret {
    /// The variable is not set or empty.
    #[error("the environment variable {0} is not set, or empty")]
    Environment(String),
    /// The file cannot be read.
    #[error("the file {} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("the file {} is empty", .0.display())]
    Empty(PathBuf),
}

impl Secret {
    /// Checks `{"env": NAME}`, `{"file": PATH}`, or a text.
    pub(crate) fn parse(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        if let Some(text) = value.as_str() {
            if text.is_empty() {
                problems.push(path.problem("the secret is empty"));
            }
            return (!text.is_empty()).then(|| Self::Inline(Zeroizing::new(text.to_owned())));
        }
        if !value.is_object() {
            // Not quoted: it may be a secret all the same.
            problems.push(path.problem(r#"a secret is {"env": NAME} or {"file": PATH}, or a string"#));
            return None;
        }
        let mut object = Object::new(value, path, problems)?;
        object.refuse_unknown(&["env", "file"]);
        match (object.string("env"), object.string("file")) {
            (Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Some(Self::Environment(name.to_owned()))
            }
            (Some(name), None) => {
                object.refuse(
                    "env",
                    format!("{name:?} is not the name of an environment variable"),
                );
                None
            }
            (None, Some(file)) if !file.is_empty() => Some(Self::File(PathBuf::from(file))),
            _ => {
                problems.push(path.problem(r#"a secret has either "env" or "file""#));
                None
            }
        }
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// [`MissingSecret`] says where it is not.
    pub fn read(&self) -> Result<Zeroizing<String>, MissingSecret> {
        match self {
            Self::Environment(name) => match std::env::var(name) {
                Ok(text) if !text.trim().is_empty() => Ok(Zeroizing::new(text.trim().to_owned())),
                _ => Err(MissingSecret::Environment(name.clone())),
            },
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| MissingSecret::File {
                    path: path.clone(),
                    source,
                })?;
                let text = Zeroizing::new(text);
                // Some editors begin a file with a mark of its encoding.
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let trimmed = Zeroizing::new(text.trim().to_owned());
                if trimmed.is_empty() {
                    return Err(MissingSecret::Empty(path.clone()));
                }
                Ok(trimmed)
            }
            Self::Inline(text) => Ok(text.clone()),
        }
    }
}

/// Where it is.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Inline(_) => f.write_str("the field"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "Secret(environment {name})"),
            Self::File(path) => write!(f, "Secret(file {})", path.display()),
            Self::Inline(_) => f.write_str("Secret(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: &Value) -> Result<Secret, String> {
        let mut problems = Vec::new();
        let secret = Secret::parse(value, &Path::ROOT, &mut problems);
        secret.ok_or_else(|| problems[0].to_string())
    }

    #[test]
    fn a_secret_is_named_or_given() {
        assert_eq!(parse(&json!({ "env": "A" })), Ok(Secret::Environment("A".into())));
        assert_eq!(parse(&json!({ "file": "/a" })), Ok(Secret::File("/a".into())));
        assert!(matches!(parse(&json!("x")), Ok(Secret::Inline(_))));
        for bad in [
            json!({}),
            json!({ "env": "A", "file": "b" }),
            json!({ "env": "" }),
            json!(""),
            json!(7),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
        let error = parse(&json!({ "enw": "A" })).unwrap_err();
        assert!(error.contains("did you mean \"env\"?"), "{error}");
    }

    #[test]
    fn a_secret_in_a_file_is_read_anew_and_one_that_is_missing_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::File(path.clone());
        assert!(secret.read().unwrap_err().to_string().contains("token"));
        std::fs::write(&path, " \n").unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("empty"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(secret.read().unwrap().as_str(), "one");
        std::fs::write(&path, "\u{feff}two\r\n").unwrap();
        assert_eq!(
            secret.read().unwrap().as_str(),
            "two",
            "without the mark of an editor"
        );
        let missing = Secret::Environment("SIMRELAY_NO_SUCH_VARIABLE".into());
        assert!(
            missing
                .read()
                .unwrap_err()
                .to_string()
                .contains("SIMRELAY_NO_SUCH_VARIABLE")
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", parse(&json!("hunter2")).unwrap()), "Secret(***)");
    }
}
