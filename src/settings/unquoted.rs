//! Values that may hold a secret by mistake: what is wrong with one is said without the value.

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

/// Parses a `T`; clap's own parser would quote what it refuses, as in `mqtt://user:password@host`.
#[derive(Debug)]
pub(super) struct Unquoted<T>(PhantomData<fn() -> T>);

impl<T> Unquoted<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Unquoted<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> TypedValueParser for Unquoted<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let refused = |why: &dyn Display| {
            let flag = flag.map(|flag| format!("{flag}: ")).unwrap_or_default();
            Error::raw(ErrorKind::ValueValidation, format!("{flag}{why}\n")).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| refused(&"it is not UTF-8"))?;
        text.parse().map_err(|why| refused(&why))
    }
}
