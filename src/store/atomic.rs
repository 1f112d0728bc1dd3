//! Replaces a file so that a crash at any instant leaves the old one or the new one, whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// Puts `content` in place of the file at `path`, which keeps its mode and owner. Durable on return, which
/// tells the stamp of the new file.
///
/// # Errors
/// Whatever the file system says; the old file is then still there, and no other one.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> io::Result<Stamp> {
    // A link is followed here, as renaming over it would replace the link and leave its target as it was.
    let path = fs::canonicalize(path)?;
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = temporary_path(&path);
    let written = write_like(&temporary, &path, content)
        .and_then(|stamp| fs::rename(&temporary, &path).map(|()| stamp))
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        })?;
    File::open(folder)?.sync_all()?;
    Ok(written)
}

/// Beside the file, as a rename works only within a file system.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn write_like(temporary: &Path, old: &Path, content: &[u8]) -> io::Result<Stamp> {
    let old = fs::metadata(old)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only root may; for others the file becomes theirs, as with any editor that renames.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    file.write_all(content)?;
    file.sync_all()?;
    Stamp::from_metadata(&file.metadata()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_file_has_the_mode_of_the_old_one_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        fs::write(
            folder.path().join(".f.json.new"),
            "left by a crash, and longer than the new content",
        )
        .unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace_file(&link, b"new").unwrap();
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
            replace_file(&path, b"new").is_err(),
            "the temporary file cannot be made"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let occupied = folder.path().join("folder");
        fs::create_dir_all(occupied.join("inside")).unwrap();
        assert!(
            replace_file(&occupied, b"new").is_err(),
            "a file cannot be renamed over a folder"
        );
        assert!(occupied.join("inside").is_dir());
        assert!(
            !folder.path().join(".folder.new").exists(),
            "the temporary file is gone"
        );
    }
}
