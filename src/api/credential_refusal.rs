//! Refusals of the credential store.

use axum::http::StatusCode;

use super::error::write_failed;
use crate::credential::{CredentialProblem, CredentialType, InvalidCredentialsId};
use crate::store::{CredentialChangeError, CredentialRemovalError};

/// Why a credential was not taken, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum CredentialRefusal {
    /// The name cannot be one.
    #[error(transparent)]
    Id(#[from] InvalidCredentialsId),
    /// What is wrong with the values.
    #[error("{}", joined(.0))]
    Invalid(Vec<CredentialProblem>),
    /// A type that is not known here.
    #[error("type: {0}; allowed are {list}", list = CredentialType::ALL.map(CredentialType::name).join(", "))]
    Type(String),
    /// It was not deleted.
    #[error(transparent)]
    Removal(#[from] CredentialRemovalError),
    /// The store refused.
    #[error(transparent)]
    Change(#[from] CredentialChangeError),
}

fn joined(problems: &[CredentialProblem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl CredentialRefusal {
    /// Status and code of the answer.
    pub(super) fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Id(_) => (StatusCode::BAD_REQUEST, "InvalidCredentialsId"),
            Self::Invalid(_) | Self::Type(_) => (StatusCode::BAD_REQUEST, "InvalidCredential"),
            Self::Removal(CredentialRemovalError::InUse { .. }) => (StatusCode::CONFLICT, "CredentialInUse"),
            Self::Removal(CredentialRemovalError::BrokenFile(_)) => (StatusCode::CONFLICT, "BrokenFile"),
            Self::Removal(CredentialRemovalError::Change(error)) | Self::Change(error) => {
                change_status(error)
            }
        }
    }
}

fn change_status(error: &CredentialChangeError) -> (StatusCode, &'static str) {
    match error {
        CredentialChangeError::Exists(_) => (StatusCode::CONFLICT, "CredentialExists"),
        CredentialChangeError::InTheWay(_) => (StatusCode::CONFLICT, "AlreadyExists"),
        CredentialChangeError::Missing(_) => (StatusCode::NOT_FOUND, "NoSuchCredential"),
        CredentialChangeError::File { source, .. } => write_failed(source),
        CredentialChangeError::Interrupted => (StatusCode::SERVICE_UNAVAILABLE, "Interrupted"),
    }
}
