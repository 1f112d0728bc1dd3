//! A file of JSON lines that is begun anew when it is full.

use super::Outcome;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) async fn send(file: PathBuf, most_bytes: u64, keep: u32, lines: Vec<String>) -> Outcome {
    let number = lines.len();
    let shown = file.display().to_string();
    let written = tokio::task::spawn_blocking(move || write(&file, most_bytes, keep, &lines)).await;
    match written {
        Ok(Ok(())) => Outcome::Delivered(format!("{number} line(s) written to {shown}")),
        Ok(Err(error)) => Outcome::later(format!("{shown}: {error}")),
        Err(error) => Outcome::later(error.to_string()),
    }
}

/// On disk when it returns.
fn write(file: &Path, most_bytes: u64, keep: u32, lines: &[String]) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|metadata| metadata.len() >= most_bytes) {
        rotate(file, keep)?;
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut opened = OpenOptions::new().create(true).append(true).open(file)?;
    let mut text = lines.join("\n");
    text.push('\n');
    opened.write_all(text.as_bytes())?;
    opened.sync_data()
}

/// `x` becomes `x.1`, which became `x.2`, and so on; the last one goes.
fn rotate(file: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", file.display()));
    if keep == 0 {
        return fs::remove_file(file);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(file, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_begun_anew_and_old_ones_are_kept_up_to_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/n.log");
        for number in 0..6 {
            write(&file, 1, 2, &[format!("{{\"n\":{number}}}")]).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join("deep").join(name)).unwrap();
        assert_eq!(read("n.log"), "{\"n\":5}\n");
        assert_eq!(
            (read("n.log.1"), read("n.log.2")),
            ("{\"n\":4}\n".into(), "{\"n\":3}\n".into())
        );
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 3);
        write(&file, 1, 0, &["x".into()]).unwrap();
        assert_eq!(read("n.log"), "x\n");
    }
}
