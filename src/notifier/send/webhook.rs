//! A POST to any URL.

use super::{Outcome, Ready, http};
use crate::notifier::configuration::Webhook;
use crate::notifier::http_secret::{header_of, url_of};
use crate::notifier::template::{Markup, Values};
use serde_json::json;

pub(super) async fn send(
    client: &reqwest::Client,
    webhook: &Webhook,
    values: Values,
    notification: &Ready,
) -> Outcome {
    let url = match url_of(&webhook.url) {
        Ok(url) => url,
        Err(unusable) => return unusable.into(),
    };
    let Ready { job, text } = notification;
    let mut request = client
        .post(url)
        .header("Content-Type", "application/json")
        // The same for every attempt, so that the receiver can tell a second one.
        .header("Idempotency-Key", &job.retry_key);
    for (name, value) in &webhook.headers {
        match header_of(value) {
            Ok(value) => request = request.header(name, value),
            Err(unusable) => return unusable.into(),
        }
    }
    let body = match &webhook.body {
        Some(template) => match template.render(&values, Markup::Plain) {
            Ok(body) => body,
            Err(error) => return Outcome::Never(format!("body: {error}")),
        },
        None => json!({
            "id": job.id,
            "topic": job.topic,
            "route": job.route,
            "text": text,
            "time": job.created,
        })
        .to_string(),
    };
    http::attempt(request.body(body)).await
}
