//! Answers to an admin's questions, as text: is this file right, and what becomes of this topic?

mod check;
mod topic;

pub use check::{Report, check};
pub use topic::{TopicError, topic};
