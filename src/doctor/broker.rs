//! The broker: found, reached, logged in to; a message published to it and received again; then a real one.

use std::path::Path;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::{
    AsyncClient, ClientError, Event, EventLoop, Incoming, PubAckReason, PublishOptions, SubscribeReasonCode,
};
use tokio::time::{sleep, timeout};

use super::Finding;
use crate::clock::now_millis;
use crate::database::Database;
use crate::notifier::has_arrived;
use crate::private_file;
use crate::site_broker::{SiteBroker, Step, Trouble};

/// How long a message may take there and back.
const RETURN_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether the notifier has a message.
const LOOK: Duration = Duration::from_millis(10);

/// A real message, for which somebody ought to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// Its topic.
    pub topic: String,
    /// Its text.
    pub text: String,
}

/// Looks at the broker, step by step; after a step that fails nothing is tried.
pub async fn broker(broker: &SiteBroker) -> Vec<Finding> {
    let mut talk = match Talk::open(broker).await {
        Ok(talk) => talk,
        Err(trouble) => return way(broker, Some(&trouble)),
    };
    let mut findings = way(broker, None);
    match talk.there_and_back().await {
        Ok(found) => findings.extend(found),
        Err(finding) => findings.push(finding),
    }
    findings
}

/// Publishes a real message, and says whether anybody waits for it. A notifier that runs here on the data folder
/// `notifier` has to take it in.
pub async fn rehearse(broker: &SiteBroker, rehearsal: &Rehearsal, notifier: Option<&Path>) -> Vec<Finding> {
    let began = now_millis();
    let reason = match Talk::open(broker).await {
        Ok(mut talk) => talk.publish(rehearsal).await,
        Err(trouble) => Err(Finding::bad("publish", trouble.what, trouble.advice)),
    };
    let reason = match reason {
        Ok(reason) => reason,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![heard(rehearsal, reason)];
    if let (PubAckReason::Success, Some(data)) = (reason, notifier) {
        findings.push(match Database::open(data).await {
            Ok(database) => taken_in(rehearsal, &database, began).await,
            Err(error) => unseen(&error),
        });
    }
    findings
}

/// Whether the notifier has the message: it remembers what it has acknowledged for some seconds.
async fn taken_in(Rehearsal { topic, text }: &Rehearsal, database: &Database, began: i64) -> Finding {
    let arrived = timeout(RETURN_WITHIN, async {
        while !has_arrived(database, topic, text.as_bytes(), began).await? {
            sleep(LOOK).await;
        }
        Ok::<_, sqlx::Error>(())
    });
    match arrived.await {
        Ok(Ok(())) => Finding::good("arrival", "the notifier has taken the message in"),
        Ok(Err(error)) => unseen(&error),
        Err(_) => Finding::bad(
            "arrival",
            format!(
                "the notifier has not taken the message in within {} s",
                RETURN_WITHIN.as_secs()
            ),
            "journalctl -u simrelay-notifier says whether it has its broker; its SIMRELAY_NOTIFIER_BROKER may be another one than the bridge's",
        ),
    }
}

fn unseen(error: &dyn std::error::Error) -> Finding {
    Finding::note(
        "arrival",
        format!("whether the notifier has the message cannot be seen: {error}"),
        "try sudo simrelay doctor",
    )
}

/// The steps up to the login.
fn way(broker: &SiteBroker, trouble: Option<&Trouble>) -> Vec<Finding> {
    let destination = broker.destination();
    let user = match broker.username() {
        Some(username) => format!("the broker takes user {username:?}"),
        None => "the broker takes clients without user name".to_owned(),
    };
    let good = [
        Finding::good("name", format!("{} has an address", destination.host())),
        Finding::good("broker", format!("{destination} answers")),
        Finding::good("login", user),
    ];
    let Some(trouble) = trouble else {
        return good.into();
    };
    let (passed, failed) = match trouble.step {
        Step::Name => (0, Finding::bad("name", &trouble.what, &trouble.advice)),
        Step::Reach => (1, Finding::bad("broker", &trouble.what, start_it(trouble))),
        Step::Login => (2, Finding::bad("login", &trouble.what, &trouble.advice)),
        Step::Open => (1, Finding::bad("broker", &trouble.what, &trouble.advice)),
    };
    good.into_iter().take(passed).chain([failed]).collect()
}

fn start_it(trouble: &Trouble) -> String {
    if trouble.what.contains("refused") {
        "nothing listens on that port: sudo systemctl start mosquitto; look at the listener lines in /etc/mosquitto/conf.d, and at ss -tln".to_owned()
    } else {
        format!("{}; sudo ufw status", trouble.advice)
    }
}

/// Whether anybody waits for the message. Brokers of MQTT 3.1.1 behind MQTT 5 do not tell.
fn heard(rehearsal: &Rehearsal, reason: PubAckReason) -> Finding {
    let topic = &rehearsal.topic;
    match reason {
        PubAckReason::Success => Finding::good(
            "listener",
            format!(
                "somebody subscribes to {topic:?}; the broker says so, too, of one that is away and for whom it keeps messages"
            ),
        ),
        PubAckReason::NoMatchingSubscribers => Finding::bad(
            "listener",
            format!("nobody subscribes to {topic:?}"),
            "start the notifier (sudo systemctl start simrelay-notifier); compare the topic with the filters of its routes: alert/critical is in alert/#, not in notify/#",
        ),
        other => refused(topic, other),
    }
}

fn refused(topic: &str, reason: PubAckReason) -> Finding {
    Finding::bad(
        "publish",
        format!("the broker refuses a message to {topic:?}: {reason:?}"),
        "allow it in the broker's acl_file",
    )
}

/// An open connection.
struct Talk<'a> {
    id: String,
    client: AsyncClient,
    events: EventLoop,
    broker: &'a SiteBroker,
}

impl<'a> Talk<'a> {
    async fn open(broker: &'a SiteBroker) -> Result<Self, Trouble> {
        let id = private_file::random_hex::<4>().map_or_else(|_| "0".to_owned(), |hex| hex.to_string());
        let mut options = broker.options(&format!("simrelay-doctor-{id}"));
        options.set_clean_start(true);
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => break,
                Ok(_) => {}
                Err(error) => return Err(broker.explain_unanswered(&error)),
            }
        }
        Ok(Self {
            id,
            client,
            events,
            broker,
        })
    }

    /// Subscribes to a topic of its own, publishes a message there, waits for it.
    async fn there_and_back(&mut self) -> Result<Vec<Finding>, Finding> {
        let message = &Rehearsal {
            topic: format!("simrelay/doctor/{}", self.id),
            text: "simrelay doctor".to_owned(),
        };
        let asked = self
            .client
            .try_subscribe(message.topic.as_str(), QoS::AtLeastOnce);
        asked.map_err(|error| clientless(&error))?;
        let suback = self.wait("subscribe", |incoming| match incoming {
            Incoming::SubAck(suback) => Some(suback.return_codes.clone()),
            _ => None,
        });
        let codes = suback.await?;
        if !matches!(codes.first(), Some(SubscribeReasonCode::Success(_))) {
            let what = format!("the broker refuses a subscription: {:?}", codes.first());
            return Err(Finding::bad(
                "subscribe",
                what,
                "allow it in the broker's acl_file",
            ));
        }
        self.send(message)?;
        let (mut reason, mut is_back) = (None, false);
        let answered = self.wait("deliver", |incoming| {
            match incoming {
                Incoming::PubAck(ack) => reason = Some(ack.reason),
                Incoming::Publish(publish) => is_back |= publish.topic == message.topic.as_bytes(),
                _ => {}
            }
            reason.filter(|reason| is_back || *reason != PubAckReason::Success)
        });
        match answered.await? {
            PubAckReason::Success => Ok(vec![
                Finding::good("publish", "the broker acknowledges a message"),
                Finding::good("deliver", "the broker brings the message to a subscriber"),
            ]),
            other => Err(refused(&message.topic, other)),
        }
    }

    /// Publishes a message; what the broker says of it.
    async fn publish(&mut self, message: &Rehearsal) -> Result<PubAckReason, Finding> {
        self.send(message)?;
        self.wait("publish", |incoming| match incoming {
            Incoming::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    fn send(&self, message: &Rehearsal) -> Result<(), Finding> {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client
            .try_publish(message.topic.as_str(), message.text.clone(), options)
            .map_err(|error| clientless(&error))
    }

    /// The next packet that `is` what is waited for.
    async fn wait<T>(
        &mut self,
        step: &'static str,
        mut is: impl FnMut(&Incoming) -> Option<T>,
    ) -> Result<T, Finding> {
        let found = timeout(RETURN_WITHIN, async {
            loop {
                if let Event::Incoming(incoming) = self.events.poll().await?
                    && let Some(found) = is(&incoming)
                {
                    return Ok(found);
                }
            }
        });
        match found.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                let trouble: Trouble = self.broker.explain(&error);
                Err(Finding::bad(step, trouble.what, trouble.advice))
            }
            Err(_) => Err(Finding::bad(
                step,
                format!("no answer from the broker within {} s", RETURN_WITHIN.as_secs()),
                "the broker hangs: see its log, restart it",
            )),
        }
    }
}

fn clientless(error: &ClientError) -> Finding {
    Finding::bad(
        "publish",
        error.to_string(),
        "this is a fault of simrelay; please report it",
    )
}
