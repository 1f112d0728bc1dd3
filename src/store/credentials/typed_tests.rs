use std::fs;
use std::time::Duration;

use super::*;

struct Store(tempfile::TempDir, CredentialStore);

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(folder.path());
        Self(folder, store)
    }

    /// Writes the record of `x` by hand.
    fn write(&self, record: &str) {
        fs::create_dir_all(self.0.path().join("x")).unwrap();
        fs::write(self.0.path().join("x/credential.json"), record).unwrap();
    }

    async fn pubnub(&self) -> Found {
        let id = CredentialsId::new("x").unwrap();
        self.1.of_type(&id, CredentialType::PubNub).await
    }
}

const KEYS: &str = r#"{ "type": "pubnub-credentials", "credentials": { "pubKey": "p", "subKey": "s" } }"#;

#[tokio::test]
async fn a_record_is_a_credential_and_a_changed_one_serves_whoever_asks_a_second_later() {
    let store = Store::new();
    store.write(KEYS);
    assert_eq!(store.pubnub().await.unwrap().values.get("pubKey"), Some("p"));
    store.write(&KEYS.replace("\"p\"", "\"q\""));
    tokio::time::sleep(super::super::FRESH + Duration::from_millis(100)).await;
    assert_eq!(store.pubnub().await.unwrap().values.get("pubKey"), Some("q"));
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_with_what_to_do() {
    let cases = [
        (
            None,
            "there is no credential x: store one of the type pubnub-credentials with POST /v1/credentials/x",
        ),
        (
            Some(
                r#"{ "type": "azureIoT-credentials", "credentials": { "sharedAccessKeyName": "a", "sharedAccessKey": "YQ==" } }"#,
            ),
            "credential x is of the type azureIoT-credentials, and what is needed is pubnub-credentials",
        ),
        (
            Some(r#"{ "type": "x509" }"#),
            "credential x is of the type x509, and what is needed is pubnub-credentials",
        ),
        (
            Some(r#"{ "type": "pubnub-credentials", "credentials": { "pubKey": "p/q" } }"#),
            "credential x cannot be used: credentials.subKey: is missing",
        ),
        (
            Some("{"),
            "credential.json line 1 column 1 is not what simrelay wrote",
        ),
        (Some(r#"{ "type": "bogus" }"#), "\"bogus\" is no type"),
    ];
    for (record, expected) in cases {
        let store = Store::new();
        if let Some(record) = record {
            store.write(record);
        }
        let error = store.pubnub().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_credential_that_is_no_certificate_is_told_from_an_empty_folder() {
    let store = Store::new();
    store.write(KEYS);
    let id = CredentialsId::new("x").unwrap();
    let error = store.1.x509(&id).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "credential x is of the type pubnub-credentials, and what is needed is x509"
    );
}

#[tokio::test]
async fn two_who_want_different_types_at_once_are_answered_each_for_itself() {
    let store = Store::new();
    store.write(KEYS);
    let id = CredentialsId::new("x").unwrap();
    assert!(store.pubnub().await.is_ok());
    let other = store.1.of_type(&id, CredentialType::AzureIot).await;
    assert!(matches!(other, Err(CredentialError::WrongType { .. })));
    assert!(store.pubnub().await.is_ok());
}
