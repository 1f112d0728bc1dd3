//! JSON that people write: read strictly, with everything that is wrong in it and where that stands.

mod error;
mod file;
mod locator;
mod problem;
mod reader;
pub(crate) mod strict;

pub(crate) use error::PRINTED;
pub use error::{JsonFileError, Located};
pub(crate) use file::JsonFile;
pub use problem::{Problem, Segment};
pub(crate) use problem::{nearest, quote, unknown};
pub(crate) use reader::{Object, Path};
