//! What is to be published.

use super::Topic;

/// The longest message, in bytes: a notice to people, not a file.
pub(super) const LONGEST_MESSAGE: usize = 64 * 1024;

/// A topic and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// What, in UTF-8.
    pub text: String,
}

impl Message {
    /// What it takes in memory and on disk, about.
    pub(super) fn size(&self) -> usize {
        self.topic.as_str().len() + self.text.len()
    }
}
