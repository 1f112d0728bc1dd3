//! Files that only their owner reads, replaced so that a crash leaves the old one or the new one, whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Puts `content` at `path`, mode 0600. Durable on return. Who may write at the same time has to be settled
/// by the caller.
///
/// # Errors
/// Whatever the file system says; the old file is then still there, if there was one.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    // A file left by a crash may have been made with another mode.
    let _ = fs::remove_file(&temporary);
    create(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        })?;
    sync_folder(folder)
}

/// Makes the file `path`, which must not be there yet, mode 0600, and waits until its content is on disk. Its
/// name is not, before [`sync_folder`].
///
/// # Errors
/// Whatever the file system says.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Opens the file at `path` to add to its end; where it is not there, it is made with mode 0600. One that is there
/// keeps the mode that it has been given.
///
/// # Errors
/// Whatever the file system says.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// What the file at `path` holds; if it is not there, it is made with what `make` returns.
///
/// # Errors
/// Whatever the file system says, or `make`.
pub fn read_or_create(
    path: &Path,
    make: impl FnOnce() -> io::Result<Zeroizing<String>>,
) -> io::Result<Zeroizing<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make()?;
            replace(path, text.as_bytes())?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// What to tell of the file at `path`, which holds `what`, where every user of this machine can read it.
#[must_use]
pub fn warning_if_public(path: &Path, what: &str) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let is_public = mode & 0o007 != 0;
    is_public.then(|| {
        format!(
            "every user of this machine can read {what}: chmod 600 {}",
            path.display()
        )
    })
}

/// Makes a folder that only its owner enters, with those above it; one that is there stays as it is.
///
/// # Errors
/// Whatever the file system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Waits until the names in a folder are on disk.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `bytes` random bytes as hexadecimal digits.
///
/// # Errors
/// The system has no random numbers.
pub fn random_hex<const BYTES: usize>() -> io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; BYTES]);
    getrandom::fill(random.as_mut()).map_err(io::Error::other)?;
    Ok(Zeroizing::new(
        random.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_private_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(folder.path().join(".f.new"), "left by a crash").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_grows_is_private_unless_somebody_opened_it_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        append(&path).unwrap().write_all(b"one ").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        append(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(
            (mode(), fs::read(&path).unwrap().as_slice()),
            (0o640, &b"one two"[..])
        );
    }

    #[test]
    fn a_file_that_all_can_read_is_told_of_and_one_of_a_group_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        assert_eq!(warning_if_public(&path, "a secret"), None);
        create(&path, b"").unwrap();
        for (mode, is_told) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                warning_if_public(&path, "a secret").is_some(),
                is_told,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        replace(&path, b"one").unwrap();
        fs::create_dir(folder.path().join(".f.new")).unwrap();
        assert!(replace(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }
}
