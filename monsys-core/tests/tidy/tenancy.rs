//! Every statement on data of an organisation names its tenant (row S15 of the signals study).
//!
//! Which tables hold such data is read from the migrations, so that a new table is under the rule
//! from its first day.

use std::collections::BTreeSet;

use crate::scan;
use crate::tree::{self, File, Finding};

const RULE: &str = "tenant filter";

/// How a statement comes to a table.
const BEFORE_TABLE: [&str; 4] = ["FROM", "JOIN", "INTO", "UPDATE"];

/// Statements that cross the tenants, by how they begin. A longer list is a decision.
const CROSSING: [(&str, &str); 8] = [
    (
        "SELECT a.id, a.tenant_id, a.name, t.name",
        "a token says whose it is",
    ),
    (
        "SELECT a.id, a.tenant_id, a.device_key",
        "a device says its organisation by name",
    ),
    (
        "SELECT count(*) FROM users WHERE role <> 'service'",
        "whether a hub has people at all",
    ),
    (
        "SELECT l.purpose, u.id, u.tenant_id, u.credentials_epoch FROM login_links",
        "a login link says who follows it",
    ),
    (
        "SELECT u.tenant_id FROM users u WHERE u.id",
        "a login link is made for a person, whose organisation it finds",
    ),
    (
        "DELETE FROM sessions WHERE digest",
        "a secret says which session ends",
    ),
    (
        "DELETE FROM sessions WHERE expires_at",
        "age is the same for all",
    ),
    (
        "DELETE FROM ingest_",
        "age is the same for all, and says nothing",
    ),
];

const STORES: &str = "examples/hub/src/store/";

/// The one file whose statements go by age alone, for all tenants together.
const BY_AGE: &str = "examples/hub/src/store/sqlite/maintenance.rs";

/// Statements of the stores that come to a table of tenants more often than they name one.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let is_store = file.path.starts_with(STORES);
        if !is_store || file.path == BY_AGE || test_modules.contains(&file.path) {
            continue;
        }
        let tables = tables(files, back_end(&file.path));
        for statement in statements(file) {
            let n_tables = n_mentions(&statement.text, &tables);
            let n_tenants = n_filters(&statement.text);
            let crosses = |(start, _): &(&str, &str)| statement.text.starts_with(start);
            if n_tables > n_tenants && !CROSSING.iter().any(crosses) {
                let text = format!(
                    "`{}` names {n_tables} tables of tenants and tenant_id {n_tenants} times: \
                     row level security is the second fence, never the first",
                    statement.text
                );
                found.push(Finding::new(&file.path, statement.line, RULE, text));
            }
        }
    }
    found
}

/// The folder of the back end that a file belongs to: each has a schema of its own.
fn back_end(path: &str) -> &str {
    let own = path.strip_prefix(STORES).and_then(|rest| rest.find('/'));
    let end = own.map_or(0, |end| STORES.len() + end + 1);
    path.get(..end).unwrap_or_default()
}

/// The tables of a back end's migrations that have a column tenant_id.
fn tables(files: &[File], back_end: &str) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let is_schema = |file: &&File| file.path.starts_with(back_end) && file.path.ends_with(".sql");
    for file in files.iter().filter(is_schema) {
        for definition in file.text.split("CREATE TABLE ").skip(1) {
            let definition = definition.split(");").next().unwrap_or_default();
            let body = definition.split(';').next().unwrap_or_default();
            if body.contains("tenant_id") {
                let name = body.trim_start().split([' ', '(']).next();
                tables.extend(name.map(str::to_owned));
            }
        }
    }
    tables
}

/// The literals outside tests, each as one line of single spaces.
fn statements(file: &File) -> Vec<scan::Spelled> {
    let scanned = scan::scan(&file.text);
    let ranges = scan::test_lines(&scan::tokens(&scanned.code));
    let is_live = |line: usize| !ranges.iter().any(|range| range.contains(&line));
    let live = scanned.strings.into_iter().filter(|s| is_live(s.line));
    live.map(|spelled| {
        let words = spelled.text.replace("\\\n", " ");
        let words: Vec<&str> = words.split_whitespace().collect();
        scan::Spelled {
            text: words.join(" "),
            ..spelled
        }
    })
    .collect()
}

/// How often a statement says which tenant; what it only reads is no filter.
fn n_filters(statement: &str) -> usize {
    let is_read = statement.starts_with("SELECT ");
    let filters = match statement.split_once(" FROM ") {
        Some((_, filters)) if is_read => filters,
        _ => statement,
    };
    filters.matches("tenant_id").count()
}

/// How often a statement comes to one of the tables.
fn n_mentions(statement: &str, tables: &BTreeSet<String>) -> usize {
    let words: Vec<&str> = statement
        .split([' ', '(', ')', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let is_mention = |pair: &&[&str]| {
        let [before, table] = pair else { return false };
        BEFORE_TABLE.contains(before) && tables.contains(*table)
    };
    words.windows(2).filter(is_mention).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "CREATE TABLE meta (name TEXT);\n\
        CREATE TABLE agents (\n    id TEXT,\n    tenant_id TEXT CHECK (length(id) > 0)\n) STRICT;";

    fn n_found(statement: &str) -> usize {
        let files = [
            File::new("examples/hub/src/store/sqlite/migrations/1.sql", SCHEMA),
            File::new(
                "examples/hub/src/store/sqlite/a.rs",
                &format!("const SQL: &str = \"{statement}\";"),
            ),
        ];
        findings(&files).len()
    }

    #[test]
    fn a_statement_without_its_tenant_is_caught() {
        assert_eq!(n_found("SELECT id FROM agents WHERE tenant_id = ?1"), 0);
        assert_eq!(n_found("SELECT id FROM agents WHERE id = ?1"), 1);
        assert_eq!(n_found("SELECT id \\\n    FROM agents"), 1);
        assert_eq!(n_found("SELECT tenant_id FROM agents"), 1);
        assert_eq!(n_found("DELETE FROM agents"), 1);
        assert_eq!(n_found("UPDATE agents SET id = ?1"), 1);
        assert_eq!(n_found("INSERT INTO agents (id) VALUES (?1)"), 1);
        assert_eq!(n_found("SELECT name FROM meta"), 0);
    }

    #[test]
    fn a_join_names_the_tenant_of_each_table() {
        let join = "SELECT a.id FROM agents a JOIN agents b ON b.id = a.id";
        assert_eq!(n_found(&format!("{join} WHERE a.tenant_id = ?1")), 1);
        let both = format!("{join} AND b.tenant_id = a.tenant_id WHERE a.tenant_id = ?1");
        assert_eq!(n_found(&both), 0);
    }

    #[test]
    fn every_statement_that_may_cross_the_tenants_is_there() {
        let files = tree::files();
        let stores = files
            .iter()
            .filter(|f| f.path.starts_with("examples/hub/src/store/"));
        let texts: Vec<_> = stores
            .filter(|file| file.is_rust())
            .flat_map(statements)
            .map(|statement| statement.text)
            .collect();
        for (start, reason) in CROSSING {
            let is_there = texts.iter().any(|text| text.starts_with(start));
            assert!(is_there, "{start}: {reason}");
        }
    }

    #[test]
    fn a_schema_without_tenants_would_let_all_through_and_there_is_none() {
        for back_end in ["sqlite", "postgres"] {
            let tables = tables(&tree::files(), &format!("{STORES}{back_end}/"));
            assert!(tables.len() >= 10, "{back_end}: {tables:?}");
        }
    }
}
