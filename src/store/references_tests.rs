use serde_json::json;

use super::*;
use crate::credential::{Credential, CredentialType};
use crate::entrypoint::MQTT_ENTRY_POINT;
use crate::store::FileStore;

struct Site {
    folder: tempfile::TempDir,
    store: FileStore,
    credentials: Arc<CredentialStore>,
    both: References,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entrypoints.json");
    let sims = json!([{ "simId": "8981100000000000001", "imsi": "440100000000001", "groupId": "g" }]);
    std::fs::write(
        &path,
        json!({ "groups": [{ "groupId": "g" }], "sims": sims }).to_string(),
    )
    .unwrap();
    let store = FileStore::open(path).unwrap();
    let credentials = Arc::new(CredentialStore::new(folder.path().join("certs")));
    let both = References::new(Arc::new(store.clone()), Arc::clone(&credentials));
    Site {
        folder,
        store,
        credentials,
        both,
    }
}

fn group() -> GroupId {
    GroupId::new("g").unwrap()
}

fn id(text: &str) -> CredentialsId {
    CredentialsId::new(text).unwrap()
}

fn naming(credential: &str) -> Change {
    let value = json!({
        "destination": "mqtts://b", "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": credential } }
    });
    put(value)
}

fn put(value: Value) -> Change {
    let entries = vec![(MQTT_ENTRY_POINT.to_owned(), value)];
    let namespace = "SoracomBeam".to_owned();
    let put = GroupEdit::Put { namespace, entries };
    Change::Group(group(), GroupChange::Edit(put))
}

impl Site {
    async fn make(&self, name: &str) {
        let values = json!({ "username": "u", "password": "p" });
        let kind = CredentialType::UsernamePassword;
        let credential = Credential::checked(kind, values.as_object().unwrap()).unwrap();
        self.credentials
            .create(id(name), String::new(), credential)
            .await
            .unwrap();
    }

    async fn delete(&self, name: &str, in_use: InUse) -> Result<Vec<GroupId>, String> {
        let deleted = self.both.delete_credential(id(name), in_use).await;
        deleted.map_err(|error| error.to_string())
    }

    /// As an admin does with an editor.
    fn edit(&self, text: &str) {
        std::fs::write(self.folder.path().join("entrypoints.json"), text).unwrap();
    }

    async fn change(&self, change: Change) -> Result<Changed, String> {
        self.both.change(change).await.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn an_entry_point_cannot_newly_name_a_credential_that_is_not_there() {
    let site = site();
    let error = site.change(naming("c")).await.unwrap_err();
    assert_eq!(
        error,
        "there is no credential c: store it first, with POST /v1/credentials/c (soracom credentials create) \
         or as PEM files in its folder"
    );
    assert!(site.store.snapshot().entry_point(&group()).is_none());
    site.change(naming("of-#{imsi}")).await.unwrap();
    site.make("c").await;
    site.change(naming("c")).await.unwrap();
    let error = site.delete("c", InUse::Refused).await.unwrap_err();
    assert!(
        error.contains("group g") && error.contains("?force=true"),
        "{error}"
    );
    assert_eq!(site.delete("c", InUse::Allowed).await.unwrap(), [group()]);
    // What it named before it may name on, so that the rest of it can still be changed.
    site.change(naming("c")).await.unwrap();
    site.change(put(json!({ "destination": "mqtt://b" })))
        .await
        .unwrap();
    assert!(site.change(naming("c")).await.is_err());
}

#[tokio::test]
async fn the_credential_of_one_sim_is_in_use_too() {
    let site = site();
    site.make("of-440100000000001").await;
    site.make("of-440100000000002").await;
    site.change(naming("of-#{imsi}")).await.unwrap();
    assert!(site.delete("of-440100000000001", InUse::Refused).await.is_err());
    assert_eq!(
        site.delete("of-440100000000002", InUse::Refused).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn a_credential_that_was_named_by_hand_a_moment_ago_is_in_use() {
    let site = site();
    site.make("c").await;
    let entry_point = json!({
        "destination": "mqtts://b", "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": "c" } }
    });
    let configuration = json!({ "SoracomBeam": { MQTT_ENTRY_POINT: entry_point } });
    site.edit(&json!({ "groups": [{ "groupId": "g", "configuration": configuration }] }).to_string());
    let error = site.delete("c", InUse::Refused).await.unwrap_err();
    assert!(error.contains("is used by the entry point of group g"), "{error}");
    site.edit("{");
    let error = site.delete("c", InUse::Refused).await.unwrap_err();
    assert!(
        error.contains("is broken: correct it first") && error.contains("entrypoints.json:1:"),
        "{error}"
    );
    assert!(site.delete("c", InUse::Allowed).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_put_and_a_delete_at_once_only_one_is_made() {
    let site = site();
    let (mut puts, mut deletes) = (0, 0);
    for round in 0..200 {
        let name = format!("c{round}");
        site.make(&name).await;
        // Which of them comes first is left to chance, with a push to either side.
        let (put, delete) = if round % 2 == 0 {
            tokio::join!(site.change(naming(&name)), site.delete(&name, InUse::Refused))
        } else {
            let (delete, put) = tokio::join!(site.delete(&name, InUse::Refused), site.change(naming(&name)));
            (put, delete)
        };
        assert_ne!(put.is_ok(), delete.is_ok(), "{round}: {put:?} {delete:?}");
        let named = literals(&site.store.snapshot(), &group());
        assert_eq!(
            named.contains(&id(&name)),
            site.credentials.exists(&id(&name)),
            "{round}"
        );
        puts += u32::from(put.is_ok());
        deletes += u32::from(delete.is_ok());
        if put.is_ok() {
            site.change(put_nothing()).await.unwrap();
        }
    }
    assert!(
        puts > 0 && deletes > 0,
        "{puts} puts and {deletes} deletes came first"
    );
}

fn put_nothing() -> Change {
    put(json!({ "destination": "mqtt://b" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_who_goes_away_does_not_leave_the_two_stores_apart() {
    let site = site();
    for round in 0..100 {
        let name = format!("c{round}");
        site.make(&name).await;
        // Dropped after a moment that differs from round to round.
        let moment = std::time::Duration::from_micros(round * 20);
        let _ = tokio::time::timeout(moment, site.delete(&name, InUse::Refused)).await;
        let put = site.change(naming(&name)).await;
        assert_eq!(
            put.is_ok(),
            site.credentials.exists(&id(&name)),
            "{round}: {put:?}"
        );
        site.change(put_nothing()).await.unwrap();
    }
}
