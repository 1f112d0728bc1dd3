//! The notifier's file, and the way to the services that it names.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::Finding;
use crate::notifier::configuration::{Destination, Notifications, NotificationsFile, Service};
use crate::notifier::http_secret::{UnusableSecret, header_of, url, url_of};

/// How long each step towards a service may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Looks at the file, at its secrets, at the network; and whether a route takes `topic`.
pub async fn notifications(file: &Path, topic: Option<&str>) -> Vec<Finding> {
    let (notifications, notes) = match NotificationsFile::check(file) {
        Ok(checked) => checked,
        Err(error) => {
            return vec![Finding::bad(
                "routes",
                error.to_string(),
                "correct the file; the notifier keeps its old one meanwhile",
            )];
        }
    };
    let count = notifications.routes.len();
    let mut findings = vec![Finding::good(
        "routes",
        format!("{}: {count} route(s)", file.display()),
    )];
    findings.extend(notes.into_iter().map(|note| Finding::note("routes", note, "")));
    findings.extend(topic.map(|topic| taken(&notifications, topic)));
    for destination in notifications.destinations.values() {
        findings.extend(look_at(destination).await);
    }
    findings
}

fn taken(notifications: &Notifications, topic: &str) -> Finding {
    let matching = notifications
        .routes
        .iter()
        .filter(|route| route.filters.iter().any(|filter| filter.matches(topic)));
    let names: Vec<_> = matching.map(|route| format!("{:?}", route.name)).collect();
    if names.is_empty() {
        let advice = "compare it with \"topics\" of the routes: alert/critical is in alert/#, not in alert";
        return Finding::bad("topic", format!("no route takes {topic:?}"), advice);
    }
    Finding::good(
        "topic",
        format!("{topic:?} is taken by the route(s) {}", names.join(", ")),
    )
}

/// Its secret, its address, its port. Nothing is sent.
async fn look_at(destination: &Destination) -> Option<Finding> {
    let name = &destination.name;
    let step = destination.service.kind();
    let (host, port) = match endpoint(&destination.service) {
        Ok(endpoint) => endpoint?,
        Err(problem) => {
            let advice = "put it into /etc/simrelay/simrelay.env, or into the environment where there is no such file, and restart the notifier; the services' user has to be able to read a file: chgrp simrelay and chmod 640";
            return Some(Finding::bad(
                step,
                format!("destination {name:?}: {problem}"),
                advice,
            ));
        }
    };
    let try_it = format!("simrelay notifications test {name} sends a real message");
    Some(match reach(&host, port).await {
        Ok(()) => Finding::good(
            step,
            format!("destination {name:?}: {host}:{port} can be reached; {try_it}"),
        ),
        Err((problem, advice)) => Finding::bad(step, format!("destination {name:?}: {problem}"), advice),
    })
}

/// Where a service is; `None` for what is on this machine. Secrets stay out of the problem.
fn endpoint(service: &Service) -> Result<Option<(String, u16)>, UnusableSecret> {
    match service {
        Service::Slack { webhook_url } => Ok(of_url(&url_of(webhook_url)?)),
        Service::Line { token, to, api } => {
            header_of(token)?;
            to.read()?;
            Ok(url(api).as_ref().and_then(of_url))
        }
        Service::Webhook(webhook) => {
            for (_, value) in &webhook.headers {
                header_of(value)?;
            }
            Ok(of_url(&url_of(&webhook.url)?))
        }
        Service::Mail(mail) => {
            if let Some((user, password)) = &mail.login {
                user.read()?;
                password.read()?;
            }
            Ok(Some((mail.host.clone(), mail.port)))
        }
        Service::Log { .. } | Service::Database { .. } => Ok(None),
    }
}

fn of_url(url: &Url) -> Option<(String, u16)> {
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}

async fn reach(host: &str, port: u16) -> Result<(), (String, &'static str)> {
    let found = timeout(ANSWER_WITHIN, lookup_host((host, port))).await;
    let addresses: Vec<_> = match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            return Err((
                format!("{host} has no address: {error}"),
                "check this machine's DNS, and the host name",
            ));
        }
        Err(_) => {
            return Err((
                format!("DNS does not answer for {host}"),
                "check this machine's DNS",
            ));
        }
    };
    for address in &addresses {
        if let Ok(Ok(_)) = timeout(ANSWER_WITHIN, TcpStream::connect(address)).await {
            return Ok(());
        }
    }
    let advice = "check the way to the internet: firewall, proxy, default route";
    Err((format!("{host}:{port} cannot be reached"), advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    async fn findings(json: &str, topic: Option<&str>) -> Vec<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notifications.json");
        std::fs::write(&file, json).unwrap();
        notifications(&file, topic).await
    }

    fn slack(url: &str) -> String {
        format!(
            "{{\"destinations\": {{\"s\": {{\"type\": \"slack\", \"webhookUrl\": {url}}}}},
              \"routes\": [{{\"name\": \"r\", \"topics\": [\"alert/#\"], \"to\": [\"s\"], \"template\": \"x\"}}]}}"
        )
    }

    #[tokio::test]
    async fn each_step_towards_a_service_can_fail() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = format!("\"http://127.0.0.1:{port}/services/T/B/q7Zk\"");
        let closed = "\"http://127.0.0.1:9/services/T/B/q7Zk\"";
        let nowhere = "\"https://no-such-host.invalid/services/T/B/q7Zk\"";
        for (url, verdict, word) in [
            (open.as_str(), Verdict::Good, "can be reached"),
            (closed, Verdict::Bad, "cannot be reached"),
            (nowhere, Verdict::Bad, "has no address"),
            (
                "{\"env\": \"NO_SUCH_VARIABLE_HERE\"}",
                Verdict::Bad,
                "NO_SUCH_VARIABLE_HERE",
            ),
        ] {
            let found = findings(&slack(url), None).await;
            let last = found.last().unwrap();
            assert_eq!((last.step, last.verdict), ("slack", verdict), "{found:?}");
            assert!(last.what.contains(word), "{last:?}");
            assert!(!format!("{found:?}").contains("q7Zk"), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_topic_is_taken_by_a_route_or_it_is_not() {
        for (topic, verdict) in [("alert/critical", Verdict::Good), ("notify/slack", Verdict::Bad)] {
            let found = findings(&slack("\"http://127.0.0.1:9/\""), Some(topic)).await;
            let step = found.iter().find(|finding| finding.step == "topic").unwrap();
            assert_eq!(step.verdict, verdict, "{step:?}");
        }
        let broken = findings("{", None).await;
        assert_eq!((broken.len(), broken[0].verdict), (1, Verdict::Bad), "{broken:?}");
    }
}
