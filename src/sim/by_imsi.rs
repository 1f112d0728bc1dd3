//! SIMs as keys of tables.

use super::{Imsi, Sim};
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A SIM as the key of a table by IMSI, without a copy of the IMSI.
#[derive(Debug, Clone)]
pub struct ByImsi(pub Arc<Sim>);

impl Borrow<Imsi> for ByImsi {
    fn borrow(&self) -> &Imsi {
        &self.0.imsi
    }
}

impl Hash for ByImsi {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.imsi.hash(state);
    }
}

impl PartialEq for ByImsi {
    fn eq(&self, other: &Self) -> bool {
        self.0.imsi == other.0.imsi
    }
}

impl Eq for ByImsi {}
