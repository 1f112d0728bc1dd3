//! What may be done to the topics of a packet, told by whoever owns the rules.

/// Rules for the topic fields of what a device sends.
///
/// Each method looks at one field. To change it, it appends the new value to `out` and returns
/// `true`; to leave it, it appends nothing and returns `false`.
pub trait TopicRewrite {
    /// The Topic Name of a PUBLISH, or the Will Topic of a CONNECT.
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool;

    /// One Topic Filter of a SUBSCRIBE or UNSUBSCRIBE.
    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool;

    /// The Response Topic property of an MQTT 5 PUBLISH or will.
    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool;

    /// Whether [`Self::topic_filter`] can ever change one. If not, SUBSCRIBE and UNSUBSCRIBE pass as they come.
    fn rewrites_filters(&self) -> bool;

    /// Whether [`Self::response_topic`] can ever change one. If not, properties are not looked at.
    fn rewrites_response_topics(&self) -> bool;
}

/// Leaves every topic as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unchanged;

impl TopicRewrite for Unchanged {
    fn topic_name(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }

    fn topic_filter(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }

    fn response_topic(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }

    fn rewrites_filters(&self) -> bool {
        false
    }

    fn rewrites_response_topics(&self) -> bool {
        false
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Puts this behind topic names, and reads what else could be rewritten.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::mqtt) struct Behind(pub(in crate::mqtt) &'static str);

    impl TopicRewrite for Behind {
        fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
            out.extend_from_slice(topic.as_bytes());
            out.extend_from_slice(self.0.as_bytes());
            true
        }
        fn topic_filter(&self, _: &str, _: &mut Vec<u8>) -> bool {
            false
        }
        fn response_topic(&self, _: &str, _: &mut Vec<u8>) -> bool {
            false
        }
        fn rewrites_filters(&self) -> bool {
            true
        }
        fn rewrites_response_topics(&self) -> bool {
            true
        }
    }
}
