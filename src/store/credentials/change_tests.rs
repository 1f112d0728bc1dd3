use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::credential::{CredentialType, X509Credential};

struct Stored {
    folder: tempfile::TempDir,
    store: CredentialStore,
}

impl Stored {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = CredentialStore::open(folder.path().join("certs"), folder.path()).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("certs").join(name)
    }
}

fn id(name: &str) -> CredentialsId {
    CredentialsId::new(name).unwrap()
}

fn credential(kind: CredentialType, values: &Value) -> Credential {
    Credential::checked(kind, values.as_object().unwrap()).unwrap()
}

fn x509() -> (Credential, String) {
    let made = rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let values = json!({ "cert": cert, "key": key });
    (credential(CredentialType::X509, &values), key)
}

#[tokio::test]
async fn a_change_serves_the_next_who_asks() {
    let stored = Stored::new();
    let store = &stored.store;
    assert!(store.x509(&id("x")).await.is_err());
    store.create(id("x"), "one".to_owned(), x509().0).await.unwrap();
    let first = store.x509(&id("x")).await.unwrap();
    store.update(id("x"), "two".to_owned(), x509().0).await.unwrap();
    let second = store.x509(&id("x")).await.unwrap();
    let chain = |credential: &X509Credential| credential.certificate.as_ref().unwrap().chain.clone();
    assert_ne!(chain(&first), chain(&second));
    store.delete(id("x")).await.unwrap();
    assert!(store.x509(&id("x")).await.is_err());
    assert!(matches!(
        store.delete(id("x")).await,
        Err(CredentialChangeError::Missing(_))
    ));
    assert_eq!(fs::read_dir(stored.path("")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_list_has_times_and_no_key() {
    let stored = Stored::new();
    let store = &stored.store;
    let (credential, key) = x509();
    let made = store.create(id("x"), "d".to_owned(), credential).await.unwrap();
    assert!(made.create_time == made.update_time && made.last_used == 0);
    assert!(matches!(
        store.create(id("x"), String::new(), x509().0).await,
        Err(CredentialChangeError::Exists(_))
    ));
    store.x509(&id("x")).await.unwrap();
    store.keep_uses().await;
    let again = CredentialStore::open(stored.path(""), stored.folder.path()).unwrap();
    let listed = again.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].last_used >= made.create_time && listed[0].description == "d");
    assert!(listed[0].credential.values.get("cert").is_some());
    assert_eq!(listed[0].credential.values.get("key"), None);
    assert!(
        fs::read_to_string(stored.path("x/key.pem"))
            .unwrap()
            .contains(key.trim())
    );
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(stored.path("x")), mode(stored.path("x/key.pem"))),
        (0o700, 0o600)
    );
}

#[tokio::test]
async fn another_type_takes_the_place_whole() {
    let stored = Stored::new();
    let store = &stored.store;
    store.create(id("x"), String::new(), x509().0).await.unwrap();
    let login = credential(
        CredentialType::UsernamePassword,
        &json!({ "username": "u", "password": "s3cret" }),
    );
    store.update(id("x"), String::new(), login.clone()).await.unwrap();
    assert_eq!(store.list().await.unwrap()[0].credential, login);
    let names = fs::read_dir(stored.path("x")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["credential.json"]);
    assert!(store.x509(&id("x")).await.is_err());
}

#[tokio::test]
async fn a_folder_made_by_hand_is_listed_and_what_is_no_credential_is_not() {
    let stored = Stored::new();
    let pem = rcgen::generate_simple_self_signed(["ca".to_owned()])
        .unwrap()
        .cert
        .pem();
    for (name, file, text) in [
        ("hand", "ca.pem", pem.as_str()),
        ("notes", "README", ""),
        ("broken", "credential.json", "{"),
        ("not an id", "ca.pem", &pem),
    ] {
        fs::create_dir_all(stored.path(name)).unwrap();
        fs::write(stored.path(name).join(file), text).unwrap();
    }
    let listed = stored.store.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].id.as_str(), listed[0].credential.kind),
        ("hand", CredentialType::X509)
    );
    assert!(listed[0].create_time > 1_600_000_000_000);
    let mended = stored.store.update(id("broken"), String::new(), x509().0).await;
    assert!(mended.is_ok());
}

#[tokio::test]
async fn what_lies_where_a_new_folder_would_be_written_is_told_and_the_old_one_stays() {
    let stored = Stored::new();
    let store = &stored.store;
    let made = store.create(id("x"), "old".to_owned(), x509().0).await.unwrap();
    fs::write(stored.path("x~new"), "").unwrap();
    let error = store
        .update(id("x"), "new".to_owned(), x509().0)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("certs/x~new is no folder"), "{error}");
    assert_eq!(store.list().await.unwrap()[0].description, made.description);
    assert!(store.x509(&id("x")).await.is_ok());
}

#[tokio::test]
async fn a_file_is_not_moved_away_for_a_credential_of_its_name() {
    let stored = Stored::new();
    fs::create_dir(stored.path("")).unwrap();
    fs::write(stored.path("README.md"), "mine").unwrap();
    let made = stored
        .store
        .create(id("README.md"), String::new(), x509().0)
        .await;
    let error = made.unwrap_err();
    assert!(
        matches!(error, CredentialChangeError::InTheWay(_))
            && error.to_string().contains("certs/README.md is no folder"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(stored.path("README.md")).unwrap(), "mine");
    assert_eq!(fs::read_dir(stored.path("")).unwrap().count(), 1);
}

#[test]
fn a_file_that_was_once_moved_away_does_not_stop_the_start() {
    let stored = Stored::new();
    fs::create_dir_all(stored.path("README.md")).unwrap();
    fs::write(stored.path("README.md~old"), "mine").unwrap();
    assert!(CredentialStore::open(stored.path(""), stored.folder.path()).is_ok());
    assert_eq!(fs::read_to_string(stored.path("README.md~old")).unwrap(), "mine");
}
