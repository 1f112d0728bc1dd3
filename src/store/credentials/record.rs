//! A credential as it lies in its folder.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{CA, CERT, KEY};
use crate::clock;
use crate::credential::{Credential, CredentialType, CredentialsId, Values, certificate_blocks};

/// Beside the PEM files of an x509 credential, alone otherwise.
const RECORD: &str = "credential.json";

/// Fields of an x509 credential, and their files.
const PEM_FILES: [(&str, &str); 3] = [("cert", CERT), ("key", KEY), ("ca", CA)];

/// Name and content.
type File = (&'static str, Zeroizing<Vec<u8>>);

/// A credential of the store, with what is known about it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// Its name.
    pub id: CredentialsId,
    /// For people.
    pub description: String,
    /// What it is for, and what it consists of. Of an x509 credential the key is left out.
    pub credential: Credential,
    /// When it was made.
    pub create_time: i64,
    /// When it was last changed.
    pub update_time: i64,
    /// When a CONNECT last used it; 0 if none ever did.
    pub last_used: i64,
}

/// `credential.json`. No `Debug`, as it may hold secrets.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    description: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    credentials: Map<String, Value>,
    #[serde(default)]
    create_date_time: i64,
    #[serde(default)]
    update_date_time: i64,
}

impl StoredCredential {
    /// The files that keep it.
    pub(super) fn files(&self) -> io::Result<Vec<File>> {
        let values = &self.credential.values;
        let is_pem = self.credential.kind == CredentialType::X509;
        let mut record = Record {
            kind: self.credential.kind.name().to_owned(),
            description: self.description.clone(),
            credentials: Map::new(),
            create_date_time: self.create_time,
            update_date_time: self.update_time,
        };
        if !is_pem {
            let all = values.all().map(|(name, value)| (name.to_owned(), value.into()));
            record.credentials.extend(all);
        }
        let mut json = Zeroizing::new(serde_json::to_vec_pretty(&record)?);
        json.push(b'\n');
        let mut files = vec![(RECORD, json)];
        if is_pem {
            let pems = PEM_FILES
                .iter()
                .filter_map(|&(name, file)| Some((file, values.get(name)?)));
            files.extend(pems.map(|(file, text)| {
                let text = format!("{}\n", text.trim_end());
                (file, Zeroizing::new(text.into_bytes()))
            }));
        }
        Ok(files)
    }

    /// What lies in `folder`; `None` if that is no credential.
    pub(super) fn read(folder: &Path, id: CredentialsId, last_used: i64) -> io::Result<Option<Self>> {
        let record = match fs::read(folder.join(RECORD)) {
            Ok(json) => Some(parse(&Zeroizing::new(json))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let by_hand = record.is_none();
        let (kind, record) = match record {
            Some(record) => record,
            None => (CredentialType::X509, written_by_hand(folder)?),
        };
        let mut values = Values::default();
        if kind == CredentialType::X509 {
            read_certificates(folder, &mut values)?;
            if by_hand && values == Values::default() && !folder.join(KEY).exists() {
                return Ok(None);
            }
        } else {
            let known = |name: &str| kind.field_name(name);
            for (name, value) in &record.credentials {
                if let (Some(name), Some(value)) = (known(name), value.as_str()) {
                    values.insert(name, value.to_owned());
                }
            }
        }
        Ok(Some(Self {
            id,
            description: record.description,
            credential: Credential { kind, values },
            create_time: record.create_date_time,
            update_time: record.update_date_time,
            last_used,
        }))
    }
}

fn parse(json: &[u8]) -> io::Result<(CredentialType, Record)> {
    // Only the place of an error: its words may quote a secret.
    let record: Record = serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        io::Error::other(format!(
            "{RECORD} line {line} column {column} is not what simrelay wrote"
        ))
    })?;
    let kind = CredentialType::of_name(&record.kind)
        .ok_or_else(|| io::Error::other(format!("{RECORD}: {:?} is no type", record.kind)))?;
    Ok((kind, record))
}

/// A folder without record, whose files say when they were written.
fn written_by_hand(folder: &Path) -> io::Result<Record> {
    let times = PEM_FILES.iter().filter_map(|(_, file)| {
        let modified = fs::metadata(folder.join(file)).ok()?.modified().ok()?;
        Some(clock::millis(modified))
    });
    let times: Vec<i64> = times.collect();
    Ok(Record {
        kind: CredentialType::X509.name().to_owned(),
        description: String::new(),
        credentials: Map::new(),
        create_date_time: times.iter().min().copied().unwrap_or(0),
        update_date_time: times.iter().max().copied().unwrap_or(0),
    })
}

/// What may be shown: not the key, which is not even read, nor anything else that lies in the same files.
fn read_certificates(folder: &Path, values: &mut Values) -> io::Result<()> {
    for (name, file) in [("cert", CERT), ("ca", CA)] {
        match fs::read(folder.join(file)).map(Zeroizing::new) {
            Ok(bytes) => values.insert(name, certificate_blocks(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
