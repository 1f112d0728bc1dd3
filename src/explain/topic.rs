//! What becomes of a topic, and why.

use std::sync::Arc;

use crate::entrypoint::{EntryPoint, Platform, PlatformVersion, TopicPlan, TopicRules};
use crate::mqtt::TopicRewrite;
use crate::sim::{Imsi, Sim};
use crate::store::Snapshot;

/// The longest topic of MQTT, in bytes.
const TOPIC_LIMIT: usize = 65_535;

/// The question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No SIM has this IMSI.
    #[error("there is no SIM with the IMSI {0}")]
    NoSuchSim(Imsi),
    /// The SIM cannot connect at all.
    #[error("SIM {0} belongs to no group, so it cannot connect; give it a \"groupId\"")]
    NoGroup(Imsi),
    /// The group's SIMs cannot connect at all.
    #[error("group {0} has no MQTT entry point, so its SIMs cannot connect")]
    NoEntryPoint(String),
}

/// Says what a PUBLISH to `topic` and a SUBSCRIBE to it become when the SIM `imsi` sends them.
///
/// # Errors
/// The SIM is not known, or has no entry point.
pub fn topic(snapshot: &Snapshot, imsi: &Imsi, topic: &str) -> Result<String, TopicError> {
    let sim = snapshot
        .sim_by_imsi(imsi)
        .ok_or_else(|| TopicError::NoSuchSim(imsi.clone()))?;
    let group = sim
        .group_id
        .as_ref()
        .ok_or_else(|| TopicError::NoGroup(imsi.clone()))?;
    let entry_point = snapshot
        .entry_point(group)
        .ok_or_else(|| TopicError::NoEntryPoint(group.to_string()))?;
    let plan = TopicPlan::new(Arc::clone(sim), entry_point.topics);
    let mut lines = vec![
        format!("PUBLISH   {topic} -> {}", publish(&plan, topic)),
        format!("SUBSCRIBE {topic} -> {}", subscribe(&plan, topic)),
        format!(
            "SIM {imsi}, group {group}, destination {}{}",
            entry_point.destination,
            entry_point
                .platform()
                .map(|platform| format!(" ({platform})"))
                .unwrap_or_default()
        ),
    ];
    lines.extend(reasons(&entry_point, sim, topic));
    if !sim.status.may_connect() {
        lines.push(format!("the SIM is {}, so it cannot connect", sim.status));
    }
    Ok(lines.join("\n"))
}

fn publish(plan: &TopicPlan, topic: &str) -> String {
    if topic.is_empty() {
        return "illegal: a topic has at least one character (MQTT 5 allows none together with a topic alias)".to_owned();
    }
    if topic.contains(['+', '#']) {
        return "illegal: a PUBLISH must not have the wildcards + and # in its topic (MQTT 3.1.1 §3.3.2.1)"
            .to_owned();
    }
    became(topic, |out| plan.topic_name(topic, out))
}

fn subscribe(plan: &TopicPlan, filter: &str) -> String {
    if filter.is_empty() {
        return "illegal: a topic filter has at least one character (MQTT 3.1.1 §4.7.3)".to_owned();
    }
    if !is_filter(filter) {
        return "illegal: + fills a whole level, # a whole last level (MQTT 3.1.1 §4.7.1)".to_owned();
    }
    became(filter, |out| plan.topic_filter(filter, out))
}

fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let legal = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at == last,
        level => !level.contains(['+', '#']),
    };
    !filter.is_empty() && levels.iter().enumerate().all(legal)
}

fn became(old: &str, rewrite: impl FnOnce(&mut Vec<u8>) -> bool) -> String {
    let mut new = Vec::new();
    if !rewrite(&mut new) {
        return format!("{old} (unchanged)");
    }
    if new.len() > TOPIC_LIMIT {
        return format!(
            "too long: {} bytes, and MQTT allows at most {TOPIC_LIMIT}",
            new.len()
        );
    }
    String::from_utf8_lossy(&new).into_owned()
}

fn reasons(entry_point: &EntryPoint, sim: &Arc<Sim>, topic: &str) -> Vec<String> {
    let rules = entry_point.topics;
    let mut reasons = Vec::new();
    reasons.extend(entry_point.platform().map(seen_as));
    if !entry_point.enabled {
        reasons.push("the entry point is disabled: the SIM cannot connect".to_owned());
    }
    let replacing = TopicRules {
        replace: true,
        add_imsi: false,
    };
    let has_placeholder = TopicPlan::new(Arc::clone(sim), replacing).topic_filter(topic, &mut Vec::new());
    reasons.push(match (rules.replace, has_placeholder) {
        (true, true) => "replaceTopic is true: placeholders are replaced in PUBLISH and SUBSCRIBE alike".to_owned(),
        (true, false) => "replaceTopic is true, but the topic has none of {{imsi}} {{simId}} {{imei}} <<imsi>> <<simId>> <<imei>>".to_owned(),
        (false, true) => "replaceTopic is false: the placeholder stays as it is".to_owned(),
        (false, false) => "replaceTopic is false".to_owned(),
    });
    if has_placeholder
        && rules.replace
        && sim.imei.is_none()
        && (topic.contains("{{imei}}") || topic.contains("<<imei>>"))
    {
        reasons.push("the IMEI of this SIM is not known: unknown-imei stands for it".to_owned());
    }
    reasons.push(if rules.add_imsi {
        "addSubscriberHeader is true: /IMSI goes behind the topic of a PUBLISH, not of a SUBSCRIBE".to_owned()
    } else {
        "addSubscriberHeader is false: no IMSI goes behind the topic".to_owned()
    });
    if entry_point.version == PlatformVersion::V201509 {
        reasons.push("version is \"201509\": the broker gets QoS 0 under these topics, whatever QoS the device asks for".to_owned());
    }
    reasons
}

/// As whom the platform sees the device: topics of these platforms hold the device's name.
fn seen_as(platform: Platform) -> String {
    match platform {
        Platform::PubNub => "PubNub: a topic is a channel, and the keys go before the client id",
        Platform::GoogleIot => {
            "Google Cloud IoT Core: topics are /devices/DEVICE/events, /state, /config and /commands/#, with the deviceId of the credential"
        }
        Platform::AzureIot => {
            "Azure IoT Hub: topics are devices/DEVICE/messages/events/ and devices/DEVICE/messages/devicebound/#, with the client id of the device"
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::store::{FileStore, Store};

    fn snapshot(replace: bool, add_imsi: bool) -> Arc<Snapshot> {
        of_entry(
            &json!({ "destination": "mqtt://b", "replaceTopic": replace, "addSubscriberHeader": add_imsi }),
        )
    }

    fn of_entry(entry: &Value) -> Arc<Snapshot> {
        let sim = |imsi: &str, id: &str, group: Value| json!({ "simId": id, "imsi": imsi, "groupId": group });
        let mut alone = sim("440103000000003", "8981100000000000019", json!(""));
        alone.as_object_mut().unwrap().remove("groupId");
        let mut suspended = sim("440103000000004", "8981100000000000020", json!("g"));
        suspended["status"] = json!("suspended");
        let file = json!({
            "groups": [{ "groupId": "g", "configuration": { "SoracomBeam": { "mqtt://beam.soracom.io:1883": entry } } },
                       { "groupId": "empty" }],
            "sims": [sim("440103000000001", "8981100000000000017", json!("g")), suspended,
                     sim("440103000000002", "8981100000000000018", json!("empty")), alone]
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        fs::write(&path, file.to_string()).unwrap();
        FileStore::open(path).unwrap().snapshot()
    }

    fn explained(replace: bool, add_imsi: bool, text: &str) -> String {
        topic(
            &snapshot(replace, add_imsi),
            &Imsi::new("440103000000001").unwrap(),
            text,
        )
        .unwrap()
    }

    #[test]
    fn both_packets_and_the_reasons_are_told() {
        assert_eq!(
            explained(true, true, "a/{{imsi}}/{{imei}}"),
            "PUBLISH   a/{{imsi}}/{{imei}} -> a/440103000000001/unknown-imei/440103000000001\n\
             SUBSCRIBE a/{{imsi}}/{{imei}} -> a/440103000000001/unknown-imei\n\
             SIM 440103000000001, group g, destination mqtt://b:1883\n\
             replaceTopic is true: placeholders are replaced in PUBLISH and SUBSCRIBE alike\n\
             the IMEI of this SIM is not known: unknown-imei stands for it\n\
             addSubscriberHeader is true: /IMSI goes behind the topic of a PUBLISH, not of a SUBSCRIBE"
        );
    }

    #[test]
    fn that_a_sim_is_switched_off_is_told() {
        let told = |imsi: &str| topic(&snapshot(true, false), &Imsi::new(imsi).unwrap(), "t").unwrap();
        assert!(told("440103000000004").contains("the SIM is suspended, so it cannot connect"));
        assert!(!told("440103000000001").contains("cannot connect"));
    }

    #[test]
    fn a_platform_is_named_with_the_topics_that_it_takes() {
        for (switch, field, url, words) in [
            (
                "usePubnum",
                "pubnubCredential",
                "",
                ["8883 (PubNub)", "a topic is a channel"],
            ),
            (
                "useGoogleIoT",
                "googleIoTCredential",
                "mqtts://b",
                ["b:8883 (Google Cloud IoT Core)", "/devices/DEVICE/events"],
            ),
            (
                "useAzureIoT",
                "azureIoTCredential",
                "mqtts://b",
                ["b:8883 (Azure IoT Hub)", "devices/DEVICE/messages/events/"],
            ),
        ] {
            let mut entry = json!({ "destination": url });
            entry[switch] = true.into();
            entry[field] = json!({ "$credentialsId": "x" });
            let imsi = Imsi::new("440103000000001").unwrap();
            let told = topic(&of_entry(&entry), &imsi, "t").unwrap();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
    }

    #[test]
    fn what_stays_as_it_is_and_what_is_illegal_is_said() {
        let cases = [
            (true, "t", "PUBLISH   t -> t (unchanged)", "has none of"),
            (
                false,
                "{{imsi}}",
                "SUBSCRIBE {{imsi}} -> {{imsi}} (unchanged)",
                "the placeholder stays",
            ),
            (
                true,
                "a/+/{{imsi}}",
                "SUBSCRIBE a/+/{{imsi}} -> a/+/440103000000001",
                "PUBLISH   a/+/{{imsi}} -> illegal",
            ),
            (true, "a/#", "SUBSCRIBE a/# -> a/# (unchanged)", "wildcards"),
            (
                true,
                "#/a",
                "SUBSCRIBE #/a -> illegal",
                "PUBLISH   #/a -> illegal",
            ),
            (true, "a+", "SUBSCRIBE a+ -> illegal", "PUBLISH   a+ -> illegal"),
            (true, "", "SUBSCRIBE  -> illegal", "topic alias"),
        ];
        for (replace, text, first, second) in cases {
            let told = explained(replace, false, text);
            assert!(told.contains(first) && told.contains(second), "{told}");
        }
        let long = format!("{}{{{{imsi}}}}", "x".repeat(65_530));
        assert!(explained(true, false, &long).contains("too long: 65545 bytes"));
    }

    #[test]
    fn the_older_platform_version_is_told() {
        let entry_point = |version: &str| {
            let value = json!({ "destination": "mqtt://b", "version": version });
            EntryPoint::from_value(&value).unwrap().entry_point
        };
        let sim = Arc::clone(
            snapshot(false, false)
                .sim_by_imsi(&Imsi::new("440103000000001").unwrap())
                .unwrap(),
        );
        let told = |version: &str| reasons(&entry_point(version), &sim, "t").join("\n");
        assert!(told("201509").contains("the broker gets QoS 0"));
        assert!(!told("201912").contains("QoS"));
    }

    #[test]
    fn a_sim_that_cannot_connect_has_no_answer() {
        for (imsi, expected) in [
            ("440103000000002", "group empty has no MQTT entry point"),
            ("440103000000003", "belongs to no group"),
            ("440103000000009", "there is no SIM with the IMSI 440103000000009"),
        ] {
            let error = topic(&snapshot(true, false), &Imsi::new(imsi).unwrap(), "t")
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
