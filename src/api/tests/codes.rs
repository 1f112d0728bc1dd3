//! README names every code that a refusal can have.

use std::collections::BTreeSet;

use super::*;

const SOURCES: [&str; 3] = [
    include_str!("../error.rs"),
    include_str!("../credential_refusal.rs"),
    include_str!("../auth/refusal.rs"),
];

/// Status and code of everything in the sources that looks like `(StatusCode::NOT_FOUND, "NoSuchSim")`.
fn answered() -> BTreeSet<(u16, &'static str)> {
    let status_of = |name: &str| {
        let is_it = |status: &StatusCode| {
            let reason = status.canonical_reason().unwrap_or_default();
            reason.to_uppercase().replace(' ', "_") == name
        };
        (400..600)
            .map(|number| StatusCode::from_u16(number).unwrap())
            .find(is_it)
    };
    let pair = |text: &'static str| {
        let (name, rest) = text.split_once(", \"")?;
        let (code, _) = rest.split_once("\")")?;
        Some((status_of(name)?.as_u16(), code))
    };
    let program = SOURCES
        .iter()
        .map(|text| text.split("#[cfg(test)]").next().unwrap());
    program
        .flat_map(|text| text.split("(StatusCode::").filter_map(pair))
        .collect()
}

#[test]
fn the_table_of_errors_in_the_readme_has_every_code_beside_its_status() {
    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("| status | code | when |").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|') || line.is_empty())
        .collect();
    let answered = answered();
    assert!(answered.len() > 40, "{answered:?}");
    let is_there = |(status, code): &&(u16, &str)| {
        rows.iter().any(|row| {
            let mut columns = row.split('|').skip(1);
            let (statuses, codes) = (
                columns.next().unwrap_or_default(),
                columns.next().unwrap_or_default(),
            );
            statuses.contains(&status.to_string()) && codes.contains(&format!("`{code}`"))
        })
    };
    let missing: Vec<_> = answered.iter().filter(|pair| !is_there(pair)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
