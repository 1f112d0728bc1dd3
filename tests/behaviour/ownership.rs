//! Commands that root gives for a service that runs as another user.

use crate::site::*;
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
