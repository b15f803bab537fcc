//! Selections of a filter form.

/// One selection.
pub(super) struct Choices<'a> {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) words: Vec<Choice<'a>>,
}

/// One entry of a selection.
pub(super) struct Choice<'a> {
    pub(super) word: &'a str,
    pub(super) text: String,
    pub(super) is_selected: bool,
}

/// Makes the entries of a selection; the empty word is any.
pub(super) fn entries<'a>(words: &[&'a str], selected: &str) -> Vec<Choice<'a>> {
    let entry = |word: &&'a str| Choice {
        word,
        text: if word.is_empty() {
            String::from("any")
        } else {
            word.replace("never_seen", "never seen")
        },
        is_selected: *word == selected,
    };
    words.iter().map(entry).collect()
}
