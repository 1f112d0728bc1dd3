//! As whom the broker sees a device: client id, user name and password.

use super::context::Context;
use super::{Admission, Refusal};
use crate::clock;
use crate::credential::Credential;
use crate::entrypoint::{self, Call, Identity, Login as Rule, Platform, PlatformVersion, TopicPlan};
use crate::mqtt::{Connect, Login};
use std::sync::Arc;
use zeroize::Zeroizing;

/// As whom the broker sees the device.
pub(super) enum Seen {
    /// As it comes.
    AsItIs,
    /// With the login of the entry point.
    LoggedIn(Option<String>, Option<Zeroizing<String>>),
    /// As the platform wants.
    Identified(Identity),
}

impl Seen {
    /// By the rule of its entry point.
    pub(super) async fn of(
        admission: &Admission,
        connect: &Connect<'_>,
        context: &Context,
    ) -> Result<Self, Refusal> {
        let sim = &admission.sim;
        match &admission.entry_point.login {
            Rule::PassThrough => Ok(Self::AsItIs),
            Rule::Fixed { username, password } => Ok(Self::LoggedIn(
                username.as_ref().map(|template| template.render(sim)),
                password.as_ref().map(|template| template.render(sim)),
            )),
            Rule::Platform(platform, template) => {
                let id = template.render(sim);
                let wanted = platform.credential_type();
                let credential = Box::pin(context.credentials.of_type(&id, wanted)).await?;
                let made = Box::pin(identity(*platform, credential, admission, connect, context));
                let identity = made.await?;
                Ok(Self::Identified(identity))
            }
        }
    }

    /// When the login is over, in seconds since 1970, if it ever is.
    pub(super) fn expires(&self) -> Option<u64> {
        match self {
            Self::Identified(identity) => identity.expires,
            Self::AsItIs | Self::LoggedIn(..) => None,
        }
    }

    /// The CONNECT that the broker gets.
    pub(super) fn patched(&self, admission: &Admission, connect: &Connect<'_>) -> Result<Vec<u8>, Refusal> {
        let rewrite = TopicPlan::new(Arc::clone(&admission.sim), admission.entry_point.topics);
        let connect = match admission.entry_point.version {
            PlatformVersion::V201509 => connect.clone().into_311_without_will(),
            PlatformVersion::V201912 => connect.clone(),
        };
        match self {
            Self::AsItIs => connect.patched(Login::PassThrough, &rewrite),
            Self::LoggedIn(username, password) => connect.patched(fixed(username, password), &rewrite),
            Self::Identified(identity) => connect
                .with_client_id(&identity.client_id)
                .patched(fixed(&identity.username, &identity.password), &rewrite),
        }
        .map_err(Refusal::Will)
    }
}

async fn identity(
    platform: Platform,
    credential: Arc<Credential>,
    admission: &Admission,
    connect: &Connect<'_>,
    context: &Context,
) -> Result<Identity, Refusal> {
    let (admission, client_id) = (admission.clone(), connect.client_id.to_owned());
    let lifetime = context.token_lifetime;
    // An RSA signature takes a small machine ten milliseconds, in which this thread would carry nothing.
    let made = tokio::task::spawn_blocking(move || {
        let call = Call {
            sim: &admission.sim,
            client_id: &client_id,
            host: admission.entry_point.destination.host(),
            now: clock::trusted_now(),
            lifetime,
        };
        entrypoint::identity(platform, &credential, &call)
    });
    // It is cut short only when the runtime ends.
    Ok(made.await.map_err(|_| Refusal::Shutdown)??)
}

fn fixed<'a>(username: &'a Option<String>, password: &'a Option<Zeroizing<String>>) -> Login<'a> {
    Login::Fixed {
        username: username.as_deref(),
        password: password.as_ref().map(|password| password.as_bytes()),
    }
}
