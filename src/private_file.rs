//! Files that only their owner reads, replaced so that a crash leaves the old one or the new one, whole.
//!
//! What root makes in the folder of another, as with `sudo simrelay auth-key create`, is given to that other: a service
//! that cannot read its own files does not start again.

mod replacement;

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use nix::fcntl::OFlag;
use rustix::process::geteuid;
use zeroize::Zeroizing;

pub use replacement::{Replaced, Replacement};

/// Puts `content` at `path`, mode 0600. Durable on return. Who may write at the same time has to be settled
/// by the caller.
///
/// # Errors
/// Whatever the file system says. The old file is then still there, if there was one; only where its folder could not
/// be synced may it be the new one.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    Replacement::write(path, 0o600, content)?.put()?.sync()
}

/// Makes the file `path`, which must not be there yet, mode 0600, and waits until its content is on disk. Its
/// name is not, before [`sync_folder`].
///
/// # Errors
/// Whatever the file system says.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_new(path)?;
    give(&file, &fs::metadata(folder_of(path))?)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Opens the file at `path` to add to its end; where it is not there, it is made with mode 0600. One that is there
/// keeps the mode and the owner that it has been given. Root follows no link in the folder of another, who may have made
/// it to have a file of root's changed.
///
/// # Errors
/// Whatever the file system says.
pub fn append(path: &Path) -> io::Result<File> {
    let folder = fs::metadata(folder_of(path))?;
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    if geteuid().is_root() && folder.uid() != 0 {
        options.custom_flags(OFlag::O_NOFOLLOW.bits());
    }
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give(&file, &folder)?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    }
}

/// A file that was not there, mode 0600. Nobody can have put a link to another in its place.
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Gives a file or folder that was just made to whom `model` belongs. Only root can; for others it stays theirs, as with
/// any editor that renames.
fn give(file: &File, model: &Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (model.uid(), model.gid()) {
        let _ = fchown(file, Some(model.uid()), Some(model.gid()));
    }
    Ok(())
}

/// The folder that `path` is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) => Path::new("."),
        None => path,
    }
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

/// Makes a folder that only its owner enters, with those above it; one that is there stays as it is. Durable on return.
///
/// # Errors
/// Whatever the file system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    create_folder(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else made it at the same time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    give(&File::open(path)?, &fs::metadata(above)?)?;
    sync_folder(above)
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

    fn owner(path: &Path) -> (u32, u32) {
        let made = fs::metadata(path).unwrap();
        (made.uid(), made.gid())
    }

    #[test]
    fn what_root_makes_in_the_folder_of_a_service_is_the_services() {
        const SERVICE: (u32, u32) = (65_533, 65_532);
        const OTHER: (u32, u32) = (65_531, 65_530);
        let folder = tempfile::tempdir().unwrap();
        if owner(folder.path()).0 != 0 {
            // Only root can give a file away.
            return;
        }
        let chown = |path: &Path, (user, group): (u32, u32)| {
            std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
        };
        chown(folder.path(), SERVICE);
        let at = |name: &str| folder.path().join(name);
        replace(&at("replaced"), b"").unwrap();
        create(&at("created"), b"").unwrap();
        append(&at("appended")).unwrap();
        create_folder(&at("one/two")).unwrap();
        for name in ["replaced", "created", "appended", "one", "one/two"] {
            assert_eq!(owner(&at(name)), SERVICE, "{name}");
        }
        // One that was given to somebody stays his.
        for name in ["replaced", "appended"] {
            chown(&at(name), OTHER);
        }
        replace(&at("replaced"), b"again").unwrap();
        append(&at("appended")).unwrap();
        for name in ["replaced", "appended"] {
            assert_eq!(owner(&at(name)), OTHER, "{name}");
        }
    }

    #[test]
    fn root_follows_no_link_that_the_owner_of_a_folder_may_have_made() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if owner(folder.path()).0 != 0 {
            return;
        }
        let (there, new) = (elsewhere.path().join("there"), elsewhere.path().join("new"));
        fs::write(&there, "precious").unwrap();
        for (name, target) in [("to-a-file", &there), ("to-nothing", &new)] {
            std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::chown(folder.path(), Some(65_533), None).unwrap();
        for name in ["to-a-file", "to-nothing"] {
            let error = append(&folder.path().join(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP), "{name}");
        }
        assert!(!new.exists());
        // In a folder of root's nobody else can have made one.
        std::os::unix::fs::chown(folder.path(), Some(0), None).unwrap();
        append(&folder.path().join("to-a-file")).unwrap();
    }

    #[test]
    fn folders_are_made_with_those_above_them_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/b"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        create_folder(&inner).unwrap();
        assert_eq!((mode(&outer), mode(&inner)), (0o700, 0o700));
        fs::set_permissions(&outer, fs::Permissions::from_mode(0o755)).unwrap();
        create_folder(&inner).unwrap();
        create_folder(&outer).unwrap();
        assert_eq!(mode(&outer), 0o755);
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file")).is_err());
    }

    #[test]
    fn a_name_alone_is_in_the_folder_that_the_program_runs_in() {
        for (path, folder) in [("f", "."), ("d/f", "d"), ("/f", "/"), ("/", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder));
        }
    }

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
