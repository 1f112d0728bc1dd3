//! Slack's Incoming Webhooks.

use super::{Outcome, Ready, http, shorten};
use crate::notifier::http_secret::url_of;
use crate::secret::Secret;
use serde_json::json;

/// Slack cuts longer texts.
const LONGEST: usize = 40_000;

pub(super) async fn send(client: &reqwest::Client, url: &Secret, notification: &Ready) -> Outcome {
    let url = match url_of(url) {
        Ok(url) => url,
        Err(unusable) => return unusable.into(),
    };
    let body = json!({ "text": shorten(&notification.text, LONGEST) });
    let outcome = http::attempt(client.post(url).json(&body)).await;
    match outcome {
        Outcome::Never(words) => Outcome::Never(match advice(&words) {
            Some(advice) => format!("{words}: {advice}"),
            None => words,
        }),
        other => other,
    }
}

/// What Slack's words ask for.
fn advice(words: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 9] = [
        (
            "invalid_token",
            "the webhook was revoked or its URL is wrong; make a new one in the Slack app",
        ),
        (
            "no_service",
            "there is no such webhook any more; make a new one in the Slack app",
        ),
        (
            "channel_not_found",
            "the channel of the webhook is gone; make a webhook for another one",
        ),
        (
            "channel_is_archived",
            "the channel of the webhook is archived; unarchive it or make another webhook",
        ),
        (
            "action_prohibited",
            "an administrator of the workspace has forbidden it",
        ),
        (
            "user_not_found",
            "the user of the webhook is gone; make a new webhook",
        ),
        (
            "no_team",
            "the workspace of the webhook is gone; make a webhook in another one",
        ),
        (
            "no_text",
            "the template made an empty text of this message; correct it and use `simrelay notifications requeue`",
        ),
        (
            "invalid_payload",
            "Slack could not read the text; look at it with `simrelay notifications show`",
        ),
    ];
    let known = ADVICE.iter().find(|(word, _)| words.contains(word));
    known.map(|(_, advice)| *advice)
}
