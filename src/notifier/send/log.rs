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

/// The lines that neither the file holds nor the one before it, which may have got full with the same lines. A line that
/// was cut off by a crash gets an end, and does not count; nor does one without a key.
fn not_yet_in(file: &Path, lines: Vec<Line>) -> io::Result<Vec<Line>> {
    let mut there = HashSet::new();
    for file in [file, &numbered(file, 1)] {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if bytes.last().is_some_and(|last| *last != b'\n') {
            private_file::append(file)?.write_all(b"\n")?;
        }
        there.extend(bytes.split(|byte| *byte == b'\n').filter_map(key));
    }
    Ok(lines
        .into_iter()
        .filter(|(key, _)| !there.contains(key))
        .collect())
}

fn key(line: &[u8]) -> Option<String> {
    let line = serde_json::from_slice::<serde_json::Value>(line).ok()?;
    line[KEY].as_str().map(str::to_owned)
}

/// On disk when it returns. No file gets larger than it may, but by a single line that is.
fn write(file: &Path, most_bytes: u64, keep: u32, lines: &[Line]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut rest = lines;
    while !rest.is_empty() {
        let mut size = fs::metadata(file).map_or(0, |metadata| metadata.len());
        if size > 0 && fitting(rest, size, most_bytes) == 0 {
            rotate(file, keep)?;
            size = 0;
        }
        let (now, later) = rest.split_at(fitting(rest, size, most_bytes).max(1));
        append(file, now)?;
        rest = later;
    }
    Ok(())
}

/// How many of the lines a file of this size may still take.
fn fitting(lines: &[Line], mut size: u64, most_bytes: u64) -> usize {
    let fits = |(_, line): &&Line| {
        size += line.len() as u64 + 1;
        size <= most_bytes
    };
    lines.iter().take_while(fits).count()
}

fn append(file: &Path, lines: &[Line]) -> io::Result<()> {
    let text: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    let mut opened = private_file::append(file)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_data()
}

/// `x` becomes `x.1`, which became `x.2`, and so on; the last one goes.
fn rotate(file: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(file);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(file, number), numbered(file, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(file, numbered(file, 1))
}

fn numbered(file: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", file.display()))
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
    fn many_lines_at_once_make_no_file_larger_than_it_may_be_but_one_of_a_line_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.log");
        let line = |length: usize| (length.to_string(), "x".repeat(length));
        write(&file, 100, 9, &[line(30)]).unwrap();
        write(&file, 100, 9, &[29, 37, 1, 200, 50, 48, 50].map(line)).unwrap();
        let sizes = ["n.log.4", "n.log.3", "n.log.2", "n.log.1", "n.log"]
            .map(|name| fs::metadata(folder.path().join(name)).unwrap().len());
        assert_eq!(sizes, [31 + 30 + 38, 2, 201, 51 + 49, 51]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn what_a_killed_process_had_written_before_the_file_was_full_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.log");
        let lines = ["a", "b", "c"].map(|key| (key.to_owned(), format!("{{\"retry_key\":\"{key}\"}}")));
        write(&file, 20, 2, &lines[..2]).unwrap();
        assert!(numbered(&file, 1).exists());
        assert_eq!(not_yet_in(&file, lines.to_vec()).unwrap(), lines[2..]);
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
