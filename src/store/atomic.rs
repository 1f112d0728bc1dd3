//! The file that admins edit, replaced so that for them it stays the same file: its mode, its owner, its place behind a link.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::private_file::Replacement;

/// Writes `content`, to take the place of the file at `path`.
///
/// # Errors
/// Whatever the file system says; nothing is different then.
pub(super) fn prepare(path: &Path, content: &[u8]) -> io::Result<Replacement> {
    // A link is followed here, as renaming over it would replace the link and leave its target as it was.
    let path = fs::canonicalize(path)?;
    let mode = fs::metadata(&path)?.mode();
    Replacement::write(&path, mode, content)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
        prepare(path, content)?.put()?.sync()
    }

    #[test]
    fn the_new_file_has_the_mode_of_the_old_one_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        fs::write(folder.path().join(".f.json.new"), "left by a crash").unwrap();
        let new = prepare(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.put().unwrap().sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        drop(prepare(&path, b"given up").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_failed_write_or_rename_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        fs::write(&path, "old").unwrap();
        fs::create_dir(folder.path().join(".f.json.new")).unwrap();
        assert!(
            replace(&path, b"new").is_err(),
            "the temporary file cannot be made"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let occupied = folder.path().join("folder");
        fs::create_dir_all(occupied.join("inside")).unwrap();
        assert!(
            replace(&occupied, b"new").is_err(),
            "a file cannot be renamed over a folder"
        );
        assert!(occupied.join("inside").is_dir());
        assert!(
            !folder.path().join(".folder.new").exists(),
            "the temporary file is gone"
        );
    }
}
