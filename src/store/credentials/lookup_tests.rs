use std::fs;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.0.path().join("x")).unwrap();
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("x").join(name), text).unwrap();
    }

    fn store(&self) -> CredentialStore {
        CredentialStore::new(self.0.path())
    }
}

fn id() -> CredentialsId {
    CredentialsId::new("x").unwrap()
}

fn chain(credential: &X509Credential) -> &[CertificateDer<'static>] {
    &credential.certificate.as_ref().unwrap().chain
}

fn pems() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn certificate_key_and_ca_are_read_and_the_key_is_not_shown() {
    let (cert, key) = pems();
    let both = format!("{cert}{cert}");
    let folder = Folder::with(&[(CERT, &both), (KEY, &key), (CA, &cert)]);
    let credential = folder.store().x509(&id()).await.unwrap();
    assert_eq!((chain(&credential).len(), credential.ca.len()), (2, 1));
    assert!(format!("{credential:?}").contains("key: \"***\""));
}

#[tokio::test]
async fn a_ca_alone_is_a_credential() {
    let folder = Folder::with(&[(CA, &pems().0)]);
    let credential = folder.store().x509(&id()).await.unwrap();
    assert!(credential.certificate.is_none() && credential.ca.len() == 1);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_with_what_to_do() {
    let (cert, key) = pems();
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[], "x holds neither cert.pem and key.pem nor ca.pem"),
        (&[(CERT, &cert)], "x/key.pem is missing beside cert.pem"),
        (
            &[(KEY, &key), (CA, &cert)],
            "x/cert.pem is missing beside key.pem",
        ),
        (&[(CA, "")], "x/ca.pem holds no usable PEM: no certificate found"),
        (
            &[(CA, "-----BEGIN CERTIFICATE-----\nAAAA\n")],
            "x/ca.pem holds no usable PEM",
        ),
        (&[(CERT, &cert), (KEY, &cert)], "x/key.pem holds no usable PEM"),
        (&[(CERT, &key), (KEY, &key)], "x/cert.pem holds no usable PEM"),
    ];
    for (files, expected) in cases {
        let error = Folder::with(files)
            .store()
            .x509(&id())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let folder = Folder::with(&[]);
    let error = folder
        .store()
        .x509(&CredentialsId::new("y").unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("there is no credential y: make the folder"),
        "{error}"
    );
}

#[tokio::test]
async fn a_changed_file_serves_whoever_asks_a_second_later_and_an_unchanged_one_is_not_read_again() {
    let (cert, key) = pems();
    let folder = Folder::with(&[(CERT, &cert), (KEY, &key)]);
    let store = folder.store();
    let first = store.x509(&id()).await.unwrap();
    tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
    let same = store.x509(&id()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let (cert, key) = pems();
    folder.write(CERT, &cert);
    folder.write(KEY, &key);
    tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
    let new = store.x509(&id()).await.unwrap();
    assert_ne!((new.generation, chain(&new)), (first.generation, chain(&first)));
    fs::remove_file(folder.0.path().join("x").join(KEY)).unwrap();
    tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
    assert!(matches!(
        store.x509(&id()).await,
        Err(CredentialError::Half { .. })
    ));
}
