//! A file of JSON lines that is begun anew when it is full.

use super::Outcome;
use crate::private_file;
use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A notification's key, which no other has, and its line. Its number is not enough: a new database counts from 1.
pub(super) type Line = (String, String);

/// Under what name the key stands in the line.
pub(super) const KEY: &str = "retry_key";

/// The files that this process has written to. What an earlier one was writing when it was killed may be in the
/// file and still in the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFiles(Arc<Mutex<HashSet<PathBuf>>>);

impl LogFiles {
    pub(super) async fn send(&self, file: PathBuf, most_bytes: u64, keep: u32, lines: Vec<Line>) -> Outcome {
        let (number, shown) = (lines.len(), file.display().to_string());
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&file);
        let path = file.clone();
        let written = tokio::task::spawn_blocking(move || {
            let missing = if known { lines } else { not_yet_in(&path, lines)? };
            write(&path, most_bytes, keep, &missing)
        });
        match written.await {
            Ok(Ok(())) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
                Outcome::Delivered(format!("{number} line(s) written to {shown}"))
            }
            Ok(Err(error)) => {
                // It may have been written in part.
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&file);
                Outcome::later(format!("{shown}: {error}"))
            }
            Err(error) => Outcome::later(error.to_string()),
        }
    }
}

/// The lines that the file does not hold. A line that was cut off by a crash gets an end, and does not count; nor does
/// one without a key.
fn not_yet_in(file: &Path, lines: Vec<Line>) -> io::Result<Vec<Line>> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    if !text.is_empty() && !text.ends_with('\n') {
        private_file::append(file)?.write_all(b"\n")?;
    }
    let key = |line: &str| {
        let line = serde_json::from_str::<serde_json::Value>(line).ok()?;
        line[KEY].as_str().map(str::to_owned)
    };
    let there: HashSet<_> = text.lines().filter_map(key).collect();
    Ok(lines
        .into_iter()
        .filter(|(key, _)| !there.contains(key))
        .collect())
}

/// On disk when it returns.
fn write(file: &Path, most_bytes: u64, keep: u32, lines: &[Line]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    if fs::metadata(file).is_ok_and(|metadata| metadata.len() >= most_bytes) {
        rotate(file, keep)?;
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut opened = private_file::append(file)?;
    let text: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
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
            write(&file, 1, 2, &[("key".into(), format!("{{\"n\":{number}}}"))]).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join("deep").join(name)).unwrap();
        assert_eq!(read("n.log"), "{\"n\":5}\n");
        assert_eq!(
            (read("n.log.1"), read("n.log.2")),
            ("{\"n\":4}\n".into(), "{\"n\":3}\n".into())
        );
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 3);
        write(&file, 1, 0, &[("key".into(), "x".into())]).unwrap();
        assert_eq!(read("n.log"), "x\n");
    }

    #[test]
    fn what_a_killed_process_had_written_is_not_written_again_and_its_torn_line_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.log");
        let line = |key: &str| format!("{{\"retry_key\":\"{key}\"}}");
        fs::write(
            &file,
            format!("{}\n{}\n{{\"retry_key\":\"c", line("a"), line("b")),
        )
        .unwrap();
        let lines = ["b", "c", "d"].map(|key| (key.to_owned(), line(key))).to_vec();
        let missing = not_yet_in(&file, lines).unwrap();
        let keys: Vec<_> = missing.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["c", "d"]);
        write(&file, 1000, 2, &missing).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let (a, b, c, d) = (line("a"), line("b"), line("c"), line("d"));
        assert_eq!(text, format!("{a}\n{b}\n{{\"retry_key\":\"c\n{c}\n{d}\n"));
    }

    #[test]
    fn a_new_database_that_counts_from_one_again_loses_no_line_to_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.log");
        let older = "{\"id\":1,\"text\":\"older\"}\n{\"id\":1,\"retry_key\":\"a\",\"text\":\"old\"}\n";
        fs::write(&file, older).unwrap();
        let line = ("b".to_owned(), "{\"id\":1,\"retry_key\":\"b\"}".to_owned());
        assert_eq!(not_yet_in(&file, vec![line.clone()]).unwrap(), [line]);
    }
}
