//! A file replaced so that a crash at any instant leaves the old one or the new one, whole.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{create_new, folder_of, give};

/// New content for a file, on disk beside it. Until it is put in its place nothing is different; dropped, it is gone.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: Temporary,
    file: File,
    /// Opened before anything changes, as afterwards there may be no descriptor left.
    folder: File,
}

/// A replacement in its place: everybody sees it, but a crash may bring the old file back until it is synced.
#[derive(Debug)]
#[must_use = "it is not durable before it is synced"]
pub struct Replaced {
    folder: File,
}

impl Replacement {
    /// Writes `content`, to take the place of the file at `path` with this `mode`. It is given to whom the old file
    /// belongs; where there is none, to the owner of the folder.
    ///
    /// # Errors
    /// Whatever the file system says; nothing is different then.
    pub fn write(path: &Path, mode: u32, content: &[u8]) -> io::Result<Self> {
        let folder = File::open(folder_of(path))?;
        let owner = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.metadata()?,
            old => old?,
        };
        let temporary = temporary_path(path);
        // One left by a crash may have another mode or owner.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = create_new(&temporary)?;
        let replacement = Self {
            path: path.to_owned(),
            temporary: Temporary(Some(temporary)),
            file,
            folder,
        };
        fill(&replacement.file, &owner, mode, content)?;
        Ok(replacement)
    }

    /// What it is as a file, in its place too.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// Whatever the file system says; nothing is different then.
    pub fn put(mut self) -> io::Result<Replaced> {
        if let Some(temporary) = &self.temporary.0 {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary.0 = None;
        Ok(Replaced { folder: self.folder })
    }
}

impl Replaced {
    /// Waits until its name is on disk.
    ///
    /// # Errors
    /// Whatever the file system says. The new file stays in its place.
    pub fn sync(self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

/// A file that goes when this is dropped.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What went wrong before is what is to be told.
            let _ = fs::remove_file(path);
        }
    }
}

/// Beside the file, as a rename works only within a file system.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn fill(mut file: &File, owner: &Metadata, mode: u32, content: &[u8]) -> io::Result<()> {
    give(file, owner)?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    file.write_all(content)?;
    file.sync_all()
}
