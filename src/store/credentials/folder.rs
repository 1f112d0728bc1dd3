//! Folders that are replaced whole: a crash at any instant leaves the old one or the new one.
//!
//! Names with `~` are no credentials ids, so nothing else can be called like what is kept here for a moment:
//! `x~new` is being written, `x~old` is what it replaces, `x~gone` is deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use crate::credential::CredentialsId;
use crate::private_file;

const NEW: &str = "~new";
const OLD: &str = "~old";
const GONE: &str = "~gone";

fn beside(root: &Path, id: &CredentialsId, suffix: &str) -> PathBuf {
    root.join(format!("{id}{suffix}"))
}

/// Makes the folder `id` with these files in it, in place of the one that may be there. Durable on return.
pub(super) fn replace(
    root: &Path,
    id: &CredentialsId,
    files: &[(&str, &[u8])],
    swap: &RwLock<()>,
) -> io::Result<()> {
    let (new, old, place) = (
        beside(root, id, NEW),
        beside(root, id, OLD),
        root.join(id.as_str()),
    );
    private_file::create_folder(root)?;
    remove(&new)?;
    remove(&old)?;
    let written = write(&new, files);
    let swapped = written.and_then(|()| {
        let _nobody_reads = swap.write().unwrap_or_else(PoisonError::into_inner);
        let replaces = exists(&place);
        if replaces {
            fs::rename(&place, &old)?;
        }
        fs::rename(&new, &place).inspect_err(|_| {
            if replaces {
                // If this fails too, the next start does it.
                let _ = fs::rename(&old, &place);
            }
        })
    });
    swapped.inspect_err(|_| {
        // The first error is the one to tell.
        let _ = remove(&new);
    })?;
    private_file::sync_folder(root)?;
    leave(&old);
    Ok(())
}

/// What lies where the folder `id` is kept or swapped, and is nothing of ours to move or remove: a file, or a link that
/// leads to no folder.
pub(super) fn in_the_way(root: &Path, id: &CredentialsId) -> Option<PathBuf> {
    let place = root.join(id.as_str());
    if exists(&place) && !place.is_dir() {
        return Some(place);
    }
    let beside = [NEW, OLD, GONE].map(|suffix| beside(root, id, suffix));
    beside.into_iter().find(|path| is_foreign(path))
}

/// Deletes the folder `id`. Durable on return.
pub(super) fn delete(root: &Path, id: &CredentialsId, swap: &RwLock<()>) -> io::Result<()> {
    let gone = beside(root, id, GONE);
    remove(&gone)?;
    {
        let _nobody_reads = swap.write().unwrap_or_else(PoisonError::into_inner);
        fs::rename(root.join(id.as_str()), &gone)?;
    }
    private_file::sync_folder(root)?;
    leave(&gone);
    Ok(())
}

/// Puts right what a crash left. A file is nothing that a crash leaves: it stays where it is, and in the way.
pub(super) fn recover(root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if is_foreign(&path) {
            continue;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if let Some(id) = name.strip_suffix(OLD) {
            let place = root.join(id);
            if exists(&place) {
                leave(&path);
            } else {
                fs::rename(&path, &place)?;
            }
        } else if name.ends_with(NEW) || name.ends_with(GONE) {
            leave(&path);
        }
    }
    private_file::sync_folder(root)
}

fn write(folder: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    private_file::create_folder(folder)?;
    for (name, content) in files {
        private_file::create(&folder.join(name), content)?;
    }
    private_file::sync_folder(folder)
}

/// A link that leads nowhere is there, too.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether it is neither a folder nor a link, of which both may be credentials.
fn is_foreign(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir() && !found.is_symlink())
}

/// A link is removed, not what it points at.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes what has no meaning any more; the next start, or the next change, does it if this fails.
fn leave(path: &Path) {
    if let Err(error) = remove(path) {
        tracing::warn!(folder = %path.display(), "cannot remove an old credential: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn id() -> CredentialsId {
        CredentialsId::new("x").unwrap()
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_whole_and_private() {
        let root = tempfile::tempdir().unwrap();
        let swap = RwLock::new(());
        replace(root.path(), &id(), &[("a", b"1"), ("b", b"1")], &swap).unwrap();
        replace(root.path(), &id(), &[("a", b"2")], &swap).unwrap();
        assert_eq!(names(root.path()), ["x"]);
        assert_eq!(names(&root.path().join("x")), ["a"]);
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("x"), mode("x/a")), (0o700, 0o600));
        delete(root.path(), &id(), &swap).unwrap();
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn a_failed_write_leaves_the_old_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let swap = RwLock::new(());
        replace(root.path(), &id(), &[("a", b"1")], &swap).unwrap();
        assert!(replace(root.path(), &id(), &[("no/such/folder", b"2")], &swap).is_err());
        assert_eq!(names(root.path()), ["x"]);
        assert_eq!(fs::read(root.path().join("x/a")).unwrap(), b"1");
    }

    #[test]
    fn what_a_crash_leaves_becomes_old_or_new() {
        for (left, expected) in [
            (&["x", "x~new"][..], "x"),
            (&["x~old", "x~new"], "x~old"),
            (&["x~old", "x"], "x"),
            (&["x", "y~gone"], "x"),
        ] {
            let root = tempfile::tempdir().unwrap();
            for name in left {
                fs::create_dir(root.path().join(name)).unwrap();
                fs::write(root.path().join(name).join("f"), name).unwrap();
            }
            recover(root.path()).unwrap();
            assert_eq!(names(root.path()), ["x"], "{left:?}");
            assert_eq!(fs::read_to_string(root.path().join("x/f")).unwrap(), expected);
        }
        recover(Path::new("/nowhere/at/all")).unwrap();
    }

    #[test]
    fn a_file_is_nothing_that_a_crash_leaves() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("x")).unwrap();
        let files = ["x~gone", "x~new", "x~old", "y~old"];
        for name in files {
            fs::write(root.path().join(name), "").unwrap();
        }
        recover(root.path()).unwrap();
        assert_eq!(names(root.path()), ["x", "x~gone", "x~new", "x~old", "y~old"]);
        for name in ["x~new", "x~old", "x~gone"] {
            let path = root.path().join(name);
            assert_eq!(in_the_way(root.path(), &id()), Some(path.clone()));
            fs::remove_file(path).unwrap();
        }
        assert_eq!(in_the_way(root.path(), &id()), None);
    }

    #[test]
    fn a_link_to_a_folder_is_a_credential_and_another_link_is_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = root.path().join("x");
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        assert_eq!(in_the_way(root.path(), &id()), None);
        drop(elsewhere);
        assert_eq!(in_the_way(root.path(), &id()), Some(link));
    }
}
