//! Every statement names the tenant itself: the policies are the second fence, not the first.

use super::tenancy::TENANT_TABLES;

const SOURCES: [&str; 23] = [
    include_str!("../account.rs"),
    include_str!("../action.rs"),
    include_str!("../agent.rs"),
    include_str!("../anomaly.rs"),
    include_str!("../api_token.rs"),
    include_str!("../auditor.rs"),
    include_str!("../cycle.rs"),
    include_str!("../cycle_record.rs"),
    include_str!("../enrolment.rs"),
    include_str!("../fleet.rs"),
    include_str!("../ingest/agent_state.rs"),
    include_str!("../ingest/content.rs"),
    include_str!("../ingest/live_key.rs"),
    include_str!("../ingest/payload.rs"),
    include_str!("../ledger.rs"),
    include_str!("../maintenance.rs"),
    include_str!("../nonce.rs"),
    include_str!("../person.rs"),
    include_str!("../refresh.rs"),
    include_str!("../sample.rs"),
    include_str!("../session.rs"),
    include_str!("../signal.rs"),
    include_str!("../signal_store.rs"),
];

#[test]
fn every_statement_on_a_table_of_tenants_names_the_tenant() {
    let mut n_references = 0;
    for literal in SOURCES.into_iter().flat_map(statements) {
        for reference in references(&literal) {
            n_references += 1;
            let is_named = names_tenant(&literal, &reference);
            assert!(is_named, "{reference:?} without its tenant: {literal}");
        }
    }
    assert!(n_references > 35, "{n_references} references found");
}

#[test]
fn statements_without_the_tenant_are_caught() {
    for bad in [
        "SELECT id FROM agents WHERE id = $1",
        "SELECT a.id FROM agents a JOIN users u ON u.tenant_id = a.tenant_id AND u.id = 1 \
         JOIN metrics m ON m.agent_id = a.id",
        "UPDATE agents SET name = $1 WHERE id = $2",
        "INSERT INTO metrics (agent_id) VALUES ($1)",
        "DELETE FROM sessions WHERE digest = $1",
        "SELECT (SELECT max(u.used_at) FROM ingest_nonces u WHERE u.nonce = $1)",
    ] {
        let is_named = references(bad).iter().all(|found| names_tenant(bad, found));
        assert!(!is_named, "{bad}");
    }
}

/// No file of the folder is left out of the list above.
#[test]
fn every_file_with_statements_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/postgres");
    for sub in ["", "/archive", "/ingest"] {
        for entry in std::fs::read_dir(format!("{folder}{sub}")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Examples in unit tests are no statements.
            let live = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let has_some = literals(live)
                .iter()
                .any(|literal| !references(literal).is_empty());
            let is_listed = SOURCES.contains(&text.as_str());
            assert!(is_listed || !has_some, "{}", path.display());
        }
    }
}

/// A table of tenants in a statement, and what it is called there.
#[derive(Debug)]
struct Reference {
    table: String,
    alias: Option<String>,
}

fn references(statement: &str) -> Vec<Reference> {
    let spaced = statement
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(',', " , ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        if !["FROM", "JOIN", "UPDATE", "INTO"].contains(word) {
            continue;
        }
        let table = words.get(place + 1).copied().unwrap_or_default();
        if !TENANT_TABLES.iter().any(|(name, _)| *name == table) {
            continue;
        }
        let next = words.get(place + 2).copied().unwrap_or_default();
        let is_alias = !next.is_empty() && next.chars().all(|mark| mark.is_ascii_lowercase());
        found.push(Reference {
            table: table.to_owned(),
            alias: is_alias.then(|| next.to_owned()),
        });
    }
    found
}

/// Whether the tenant of this reference is compared with something, or written.
fn names_tenant(statement: &str, reference: &Reference) -> bool {
    let column = match reference.table.as_str() {
        "tenants" => "id",
        _ => "tenant_id",
    };
    match &reference.alias {
        Some(alias) => {
            let column = format!("{alias}.{column}");
            statement.contains(&format!("{column} = "))
                || statement.contains(&format!("= {column}"))
        }
        None if statement.starts_with("INSERT") => statement.contains(column),
        None => statement.contains(&format!("{column} = $1")),
    }
}

/// The literals of a source; one that ends inside a bracket goes on in the literal that closes it.
fn statements(source: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for literal in literals(source) {
        let open = found.iter_mut().rev().find(|text| text.ends_with('('));
        match open {
            Some(text) if literal.starts_with(')') => text.push_str(&literal),
            _ => found.push(literal),
        }
    }
    found
}

/// The string literals of a source, with continued lines joined.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find('"') {
        let mut text = String::new();
        let mut marks = rest[start + 1..].char_indices();
        let mut end = rest.len();
        while let Some((at, mark)) = marks.next() {
            match mark {
                '\\' => {
                    let escaped = marks.next().map(|(_, mark)| mark);
                    text.push(if escaped == Some('"') { '"' } else { ' ' });
                }
                '"' => {
                    end = start + 1 + at + 1;
                    break;
                }
                _ => text.push(mark),
            }
        }
        found.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        rest = &rest[end..];
    }
    found
}
