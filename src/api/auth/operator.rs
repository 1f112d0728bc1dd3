//! The one operator of this server. SORACOM's clients want to see one in many paths.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file_error::AuthFileError;
use crate::clock::now_seconds;
use crate::private_file;

/// Whom everything on this server belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operator {
    operator_id: String,
    create_date_time: i64,
}

impl Operator {
    /// Reads `operator.json` of the data directory, or makes it with a new id.
    ///
    /// # Errors
    /// Names the file and the reason.
    pub(super) fn load_or_create(data: &Path) -> Result<Self, AuthFileError> {
        let path = data.join("operator.json");
        let text = private_file::read_or_create(&path, || {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(std::io::Error::other)?;
            let operator = Self {
                operator_id: format!("OP{:010}", u64::from_le_bytes(random) % 10_000_000_000),
                create_date_time: now_seconds(),
            };
            Ok(Zeroizing::new(format!("{}\n", serde_json::to_string(&operator)?)))
        })
        .map_err(AuthFileError::file(&path))?;
        serde_json::from_str(&text)
            .ok()
            .filter(Self::is_valid)
            .ok_or_else(|| {
                AuthFileError::malformed(
                    &path,
                    "no operator: expected is {\"operatorId\": \"OP\" and 10 digits, \"createDateTime\": seconds since 1970}; correct it, or delete it and start again to get another id",
                )
            })
    }

    fn is_valid(&self) -> bool {
        let digits = self.operator_id.strip_prefix("OP");
        digits.is_some_and(|digits| digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()))
    }

    /// `OP` and 10 digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.operator_id
    }

    /// When the data directory was made, as `2026-07-31T09:15:00Z`.
    pub(in crate::api) fn created(&self) -> String {
        let created = Timestamp::from_second(self.create_date_time);
        created.unwrap_or(Timestamp::MAX).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::load_or_create(folder.path()).unwrap();
        assert!(operator.is_valid(), "{operator:?}");
        assert_eq!(Operator::load_or_create(folder.path()).unwrap(), operator);
        assert!(operator.created().starts_with("20") && operator.created().ends_with('Z'));
        std::fs::write(
            folder.path().join("operator.json"),
            r#"{"operatorId":"OP1","createDateTime":1}"#,
        )
        .unwrap();
        let refused = Operator::load_or_create(folder.path()).unwrap_err().to_string();
        assert!(
            refused.ends_with("delete it and start again to get another id"),
            "{refused}"
        );
    }
}
