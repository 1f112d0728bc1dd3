//! Session information in topics: `{{imsi}}` and its like, and the IMSI behind a topic.

use std::sync::Arc;

use super::placeholder::Placeholder;
use crate::mqtt::TopicRewrite;
use crate::sim::Sim;

/// Beam's spellings, and the equal ones in angle brackets.
const SPELLINGS: [(&[u8], Placeholder); 6] = [
    (b"{{imsi}}", Placeholder::Imsi),
    (b"{{simId}}", Placeholder::SimId),
    (b"{{imei}}", Placeholder::Imei),
    (b"<<imsi>>", Placeholder::Imsi),
    (b"<<simId>>", Placeholder::SimId),
    (b"<<imei>>", Placeholder::Imei),
];

/// What an entry point does to topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicRules {
    /// Replace placeholders (`replaceTopic`) in all that a device publishes to and subscribes to.
    pub replace: bool,
    /// Put `/{imsi}` behind what a device publishes to (`addSubscriberHeader`), after the replacement.
    pub add_imsi: bool,
}

/// The rules for the topics of one SIM. Two words a connection.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    sim: Arc<Sim>,
    rules: TopicRules,
}

impl TopicPlan {
    /// The rules of an entry point, for `sim`.
    #[must_use]
    pub fn new(sim: Arc<Sim>, rules: TopicRules) -> Self {
        Self { sim, rules }
    }

    fn replace(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        if !self.rules.replace {
            return false;
        }
        let bytes = topic.as_bytes();
        let (mut copied, mut from) = (0, 0);
        while let Some(found) = memchr::memchr2(b'{', b'<', &bytes[from..]) {
            let at = from + found;
            let Some((spelling, placeholder)) = placeholder_at(&bytes[at..]) else {
                from = at + 1;
                continue;
            };
            out.extend_from_slice(&bytes[copied..at]);
            out.extend_from_slice(placeholder.value(&self.sim).as_bytes());
            from = at + spelling.len();
            copied = from;
        }
        if copied > 0 {
            out.extend_from_slice(&bytes[copied..]);
        }
        copied > 0
    }
}

fn placeholder_at(bytes: &[u8]) -> Option<(&'static [u8], Placeholder)> {
    SPELLINGS
        .into_iter()
        .find(|(spelling, _)| bytes.starts_with(spelling))
}

impl TopicRewrite for TopicPlan {
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        let replaced = self.replace(topic, out);
        // An empty topic is an MQTT 5 topic alias: the broker has the rewritten topic under it.
        if !self.rules.add_imsi || topic.is_empty() {
            return replaced;
        }
        if !replaced {
            out.extend_from_slice(topic.as_bytes());
        }
        out.push(b'/');
        out.extend_from_slice(self.sim.imsi.as_str().as_bytes());
        true
    }

    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
        self.replace(filter, out)
    }

    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        self.replace(topic, out)
    }

    fn rewrites_filters(&self) -> bool {
        self.rules.replace
    }

    fn rewrites_response_topics(&self) -> bool {
        self.rules.replace
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::placeholder::tests::sim;
    use super::*;

    fn plan(replace: bool, add_imsi: bool) -> TopicPlan {
        TopicPlan::new(
            Arc::new(sim(Some("352709570000018"))),
            TopicRules { replace, add_imsi },
        )
    }

    fn rewritten(rewrite: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = b"before ".to_vec();
        let changed = rewrite(&mut out);
        let out = String::from_utf8(out).unwrap();
        let new = out
            .strip_prefix("before ")
            .expect("what was there is kept")
            .to_owned();
        assert!(changed || new.is_empty(), "an unchanged topic appends nothing");
        changed.then_some(new)
    }

    #[test]
    fn placeholders_are_replaced_and_all_else_is_left_alone() {
        let cases = [
            ("", None),
            ("sensors/temp", None),
            ("sensors/{{imsi}}/temp", Some("sensors/440103000000001/temp")),
            ("{{simId}}", Some("8981100000000000017")),
            (
                "<<imsi>>/<<simId>>/<<imei>>",
                Some("440103000000001/8981100000000000017/352709570000018"),
            ),
            ("{{imei}}{{imei}}", Some("352709570000018352709570000018")),
            ("{{{imsi}}}", Some("{440103000000001}")),
            ("<{{imsi}}>", Some("<440103000000001>")),
            ("{{imsi>>/<<imsi}}", None),
            ("{{IMSI}}/{{ imsi }}/{imsi}/{{msisdn}}/{{", None),
            ("#{imsi}", None),
            ("温度/{{imsi}}/値", Some("温度/440103000000001/値")),
        ];
        for (topic, expected) in cases {
            let plan = plan(true, false);
            for new in [
                rewritten(|out| plan.topic_name(topic, out)),
                rewritten(|out| plan.topic_filter(topic, out)),
                rewritten(|out| plan.response_topic(topic, out)),
            ] {
                assert_eq!(new.as_deref(), expected, "{topic:?}");
            }
        }
    }

    #[test]
    fn an_unknown_imei_becomes_the_word_that_beam_uses() {
        let plan = TopicPlan::new(
            Arc::new(sim(None)),
            TopicRules {
                replace: true,
                add_imsi: false,
            },
        );
        assert_eq!(
            rewritten(|out| plan.topic_name("d/{{imei}}", out)).as_deref(),
            Some("d/unknown-imei")
        );
    }

    #[test]
    fn the_imsi_goes_behind_published_topics_only_and_after_the_replacement() {
        let cases = [
            (false, "t", "t/440103000000001"),
            (false, "t/", "t//440103000000001"),
            (false, "{{imei}}", "{{imei}}/440103000000001"),
            (true, "{{imei}}", "352709570000018/440103000000001"),
        ];
        for (replace, topic, expected) in cases {
            let plan = plan(replace, true);
            assert_eq!(
                rewritten(|out| plan.topic_name(topic, out)).as_deref(),
                Some(expected)
            );
        }
        let plan = plan(false, true);
        assert_eq!(rewritten(|out| plan.topic_filter("t", out)), None);
        assert_eq!(rewritten(|out| plan.response_topic("t", out)), None);
        assert_eq!(
            rewritten(|out| plan.topic_name("", out)),
            None,
            "a topic alias has no topic to extend"
        );
        assert!(!plan.rewrites_filters() && !plan.rewrites_response_topics());
    }

    #[test]
    fn a_plan_is_two_words() {
        assert!(size_of::<TopicPlan>() <= 16);
    }

    proptest! {
        #[test]
        fn replacing_equals_the_plain_string_replacement(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["{{imsi}}", "<<imei>>", "{{simId}}", "{", "<", "}}", ">>", "a/", "é"]), 0..12)
        ) {
            // No piece and no value can complete a placeholder across a replaced one: values hold digits only.
            let topic = pieces.concat();
            let expected = topic
                .replace("{{imsi}}", "440103000000001")
                .replace("<<imei>>", "352709570000018")
                .replace("{{simId}}", "8981100000000000017");
            let new = rewritten(|out| plan(true, false).topic_name(&topic, out));
            prop_assert_eq!(new.unwrap_or_else(|| topic.clone()), expected);
        }

        #[test]
        fn any_text_stays_utf8_and_is_unchanged_without_rules(topic in ".*") {
            rewritten(|out| plan(true, true).topic_name(&topic, out));
            prop_assert_eq!(rewritten(|out| plan(false, false).topic_name(&topic, out)), None);
        }
    }
}
