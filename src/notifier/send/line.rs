//! Push messages of LINE's Messaging API.

use super::{Outcome, Ready, http, shorten};
use crate::notifier::http_secret::header_of;
use crate::secret::Secret;
use serde_json::json;

/// Longer texts are refused.
const LONGEST: usize = 5_000;

pub(super) async fn send(
    client: &reqwest::Client,
    api: &str,
    token: &Secret,
    to: &Secret,
    notification: &Ready,
) -> Outcome {
    if let Err(unusable) = header_of(token) {
        return unusable.into();
    }
    let (token, to) = match (token.read(), to.read()) {
        (Ok(token), Ok(to)) => (token, to),
        (Err(missing), _) | (_, Err(missing)) => return missing.into(),
    };
    let text = shorten(&notification.text, LONGEST);
    let body = json!({ "to": to.as_str(), "messages": [{ "type": "text", "text": text }] });
    let request = client
        .post(format!("{api}/v2/bot/message/push"))
        .bearer_auth(token.as_str())
        // From the first attempt on: only then can LINE tell that a second one is the same.
        .header("X-Line-Retry-Key", &notification.job.retry_key)
        .json(&body);
    match http::attempt(request).await {
        // An earlier attempt was accepted, only its answer was lost.
        Outcome::Never(words) if words.starts_with("409") => Outcome::Delivered(words),
        Outcome::Never(words) if words.starts_with("401") => Outcome::Never(format!(
            "{words}: the channel access token is wrong or has expired; issue a new one in the LINE Developers console"
        )),
        Outcome::Never(words) if words.starts_with("403") => Outcome::Never(format!(
            "{words}: this channel may not push; look at its plan in the LINE Official Account Manager"
        )),
        Outcome::Never(words) if words.starts_with("400") => Outcome::Never(format!(
            "{words}: if it names \"to\", the target id is wrong or has not befriended the official account"
        )),
        other => other,
    }
}
