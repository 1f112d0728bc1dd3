//! Commands that root gives for a service that runs as another user.

use crate::site::*;
use serde_json::json;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

const SERVICE: (u32, u32) = (65_533, 65_532);

fn owner(path: &Path) -> (u32, u32) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

#[test]
fn the_keys_that_root_makes_and_deletes_stay_files_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    if owner(folder.path()).0 != 0 {
        // Only root can make files for others.
        return;
    }
    chown(folder.path(), Some(SERVICE.0), Some(SERVICE.1)).unwrap();
    let auth_key = |arguments: &[&str]| {
        let output = run(folder.path(), &[&["auth-key"], arguments].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        let data = folder.path().join("data");
        assert_eq!(owner(&data), SERVICE);
        for entry in std::fs::read_dir(data).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(owner(&path), SERVICE, "{path:?}");
        }
    };
    auth_key(&["create"]);
    auth_key(&["create"]);
    let keys = std::fs::read(folder.path().join("data/auth-keys.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys).unwrap();
    auth_key(&["delete", keys["authKeys"][0]["authKeyId"].as_str().unwrap()]);
}

#[test]
fn what_another_wrote_into_the_notifications_beside_his_data_root_does_with_his_rights_only() {
    let (folder, service) = (tempfile::tempdir().unwrap(), WebService::slack());
    if owner(folder.path()).0 != 0 {
        return;
    }
    let secret = secret_file("of root alone");
    let file = json!({
        "destinations": { "hook": { "type": "webhook", "url": service.url(), "headers": { "X-Got": { "file": &*secret } } } },
        "routes": [],
    });
    std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
    let test = || run(folder.path(), &["notifications", "test", "hook"]);
    assert_eq!(test().code, Some(0), "root's own");
    let data = folder.path().join("data");
    let files = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for path in files.chain([data.clone(), folder.path().to_owned()]) {
        chown(path, Some(SERVICE.0), Some(SERVICE.1)).unwrap();
    }
    let output = test();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("Permission denied"), "{output:?}");
    std::fs::remove_dir_all(data).unwrap();
    assert_eq!(test().code, Some(1), "nor where there is no data yet");
    assert_eq!(service.requests().len(), 1);
}
