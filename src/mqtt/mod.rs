//! The wire.

mod rewrite;

pub use rewrite::{TopicRewrite, Unchanged};
