//! A number with what it is.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub what: &'static str,
    pub value: f64,
}

impl Figure {
    pub fn new(what: &'static str, value: f64) -> Self {
        Self { what, value }
    }
}

/// Nanoseconds each.
pub fn per(what: &'static str, spent: Duration, count: u64) -> Figure {
    Figure::new(what, spent.as_nanos() as f64 / count as f64)
}

/// Microseconds each.
pub fn micros_per(what: &'static str, spent: Duration, count: u64) -> Figure {
    Figure::new(what, spent.as_nanos() as f64 / 1000.0 / count as f64)
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

/// So that neither small nor large numbers have digits that mean nothing.
pub fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
