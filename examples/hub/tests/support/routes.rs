//! The table of routes as the hub declares it: what `monsys-hub openapi` prints.

use serde_json::Value;

use super::DataDir;

/// One route.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Who may call it.
    pub(crate) who: String,
    /// Whether it answers in HTML.
    pub(crate) is_page: bool,
    /// What the description says of it.
    pub(crate) operation: Value,
}

impl Declared {
    /// Its address for something with this name.
    pub(crate) fn at(&self, name: &str) -> String {
        let segments = self.path.split('/');
        let named = segments.map(|part| if part.starts_with('{') { name } else { part });
        named.collect::<Vec<_>>().join("/")
    }

    pub(crate) fn has_name(&self) -> bool {
        self.path.contains('{')
    }

    pub(crate) fn is_read(&self) -> bool {
        self.method == "GET"
    }

    /// Whether people call it, who are known by then.
    pub(crate) fn is_for_people(&self) -> bool {
        ["read_only", "admin"].contains(&self.who.as_str())
    }
}

/// What the hub prints of its API.
pub(crate) fn description(data: &DataDir) -> String {
    let output = data.program().arg("openapi").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All routes.
pub(crate) fn declared(data: &DataDir) -> Vec<Declared> {
    let document: Value = serde_json::from_str(&description(data)).unwrap();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let policy = &operation["x-monsys-policy"];
            let word = |name: &str| policy[name].as_str().unwrap().to_owned();
            found.push(Declared {
                method: method.to_uppercase(),
                path: path.clone(),
                who: word("who"),
                is_page: word("form") == "page",
                operation: operation.clone(),
            });
        }
    }
    found
}
