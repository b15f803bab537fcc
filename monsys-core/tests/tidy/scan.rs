//! Reads Rust well enough to tell code from comments and literals, and test code from the rest.

use std::ops::RangeInclusive;

/// One source text, cut into what the compiler acts on and what it only carries.
pub(crate) struct Scanned {
    /// The source with comments and the contents of literals blanked; lines keep their numbers.
    pub(crate) code: String,
    /// String literals: ordinary, raw, byte and C strings, as spelled between the quotes.
    pub(crate) strings: Vec<Spelled>,
}

/// A piece of text and the line it begins on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spelled {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A word or a mark of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

pub(crate) fn scan(source: &str) -> Scanned {
    let mut reader = Reader {
        chars: source.chars().collect(),
        at: 0,
        line: 1,
        code: String::with_capacity(source.len()),
        strings: Vec::new(),
    };
    while reader.at < reader.chars.len() {
        reader.step();
    }
    Scanned {
        code: reader.code,
        strings: reader.strings,
    }
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    strings: Vec<Spelled>,
}

impl Reader {
    fn step(&mut self) {
        let next = self.peek(1);
        match self.peek(0) {
            '/' if next == '/' => self.line_comment(),
            '/' if next == '*' => self.block_comment(),
            '"' => self.string(),
            '\'' => self.quote(),
            first if is_word(first) => self.word(),
            _ => self.keep(),
        }
    }

    fn line_comment(&mut self) {
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    /// A word; `r"`, `br#"` and their kin begin a raw string, `r#name` is a word of its own.
    fn word(&mut self) {
        let start = self.at;
        while is_word(self.peek(0)) {
            self.keep();
        }
        let word: String = self.chars[start..self.at].iter().collect();
        if !matches!(word.as_str(), "r" | "br" | "cr") {
            return;
        }
        let hashes = self.chars[self.at..]
            .iter()
            .take_while(|&&mark| mark == '#')
            .count();
        if self.peek(hashes) == '"' {
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..hashes {
            self.blank();
        }
        let line = self.line;
        self.keep();
        let start = self.at;
        while self.at < self.chars.len() && !self.closes_raw(hashes) {
            self.blank();
        }
        self.record(start, line);
        for _ in 0..=hashes {
            self.blank();
        }
    }

    fn closes_raw(&self, hashes: usize) -> bool {
        self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#')
    }

    fn string(&mut self) {
        let line = self.line;
        self.keep();
        let start = self.at;
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.blank();
            }
            self.blank();
        }
        self.record(start, line);
        self.keep();
    }

    /// A quote begins a character when an escape follows or the next quote is two further on;
    /// otherwise it begins a lifetime or a label.
    fn quote(&mut self) {
        let is_char = self.peek(1) == '\\' || self.peek(2) == '\'';
        self.keep();
        if !is_char {
            return;
        }
        while self.at < self.chars.len() {
            if self.peek(0) == '\\' {
                self.blank();
            }
            self.blank();
            if self.peek(0) == '\'' {
                break;
            }
        }
        self.keep();
    }

    fn record(&mut self, start: usize, line: usize) {
        let end = self.at.min(self.chars.len());
        self.strings.push(Spelled {
            line,
            text: self.chars[start..end].iter().collect(),
        });
    }

    fn keep(&mut self) {
        self.advance(|mark| mark);
    }

    fn blank(&mut self) {
        self.advance(|mark| if mark == '\n' { mark } else { ' ' });
    }

    fn advance(&mut self, shown: impl Fn(char) -> char) {
        let Some(&mark) = self.chars.get(self.at) else {
            return;
        };
        self.line += usize::from(mark == '\n');
        self.code.push(shown(mark));
        self.at += 1;
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }
}

/// Words and marks of scanned code; `::` is one mark, `r#name` and `'name` are one word each.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = token_length(rest, first);
        let (text, tail) = rest.split_at(length);
        if !first.is_whitespace() {
            found.push(Token { line, text });
        }
        line += usize::from(first == '\n');
        rest = tail;
    }
    found
}

fn token_length(rest: &str, first: char) -> usize {
    if rest.starts_with("::") {
        return 2;
    }
    let prefix = if rest.starts_with("r#") {
        2
    } else {
        usize::from(first == '\'')
    };
    let tail = &rest[prefix..];
    let word = tail.find(|mark| !is_word(mark)).unwrap_or(tail.len());
    if word == 0 {
        first.len_utf8()
    } else {
        prefix + word
    }
}

/// Whether `pattern` stands at the beginning of `found`.
pub(crate) fn starts_with(found: &[Token<'_>], pattern: &[Token<'_>]) -> bool {
    found.len() >= pattern.len()
        && found
            .iter()
            .zip(pattern)
            .all(|(token, wanted)| token.text == wanted.text)
}

/// The lines on which `pattern`, written as code, occurs.
pub(crate) fn lines_with(found: &[Token<'_>], pattern: &str) -> Vec<usize> {
    let wanted = tokens(pattern);
    (0..found.len())
        .filter(|&index| starts_with(&found[index..], &wanted))
        .map(|index| found[index].line)
        .collect()
}

/// Every path that the `use` declarations name, groups written out: `use a::{b, c::d}` is
/// `a::b` and `a::c::d`.
pub(crate) fn use_paths(found: &[Token<'_>]) -> Vec<Spelled> {
    let mut paths = Vec::new();
    let mut index = 0;
    while index < found.len() {
        if found[index].text == "use" {
            index = use_tree(found, index + 1, &mut paths);
        }
        index += 1;
    }
    paths
}

fn use_tree(found: &[Token<'_>], start: usize, paths: &mut Vec<Spelled>) -> usize {
    let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
    let mut path: Vec<&str> = Vec::new();
    let mut index = start;
    while index < found.len() {
        let token = found[index];
        match token.text {
            "::" => {}
            "as" => index += 1,
            "{" => groups.push(path.clone()),
            "," | "}" | ";" => {
                let base = groups.last().map_or(0, Vec::len);
                if path.len() > base {
                    paths.push(Spelled {
                        line: token.line,
                        text: path.join("::"),
                    });
                }
                if token.text == "}" {
                    groups.pop();
                }
                path = groups.last().cloned().unwrap_or_default();
                if token.text == ";" {
                    return index;
                }
            }
            word => path.push(word),
        }
        index += 1;
    }
    index
}

/// The items that exist only under test: token indices, attribute included.
pub(crate) fn test_items(found: &[Token<'_>]) -> Vec<RangeInclusive<usize>> {
    let mut items = Vec::new();
    let mut index = 0;
    while index < found.len() {
        let Some(after) = test_attribute(found, index) else {
            index += 1;
            continue;
        };
        let end = if found[index + 1].text == "!" {
            found.len() - 1
        } else {
            item_end(found, after)
        };
        items.push(index..=end);
        index = end + 1;
    }
    items
}

/// Names of modules declared under test whose text is in a file of its own.
pub(crate) fn test_files(found: &[Token<'_>]) -> Vec<String> {
    test_items(found)
        .into_iter()
        .filter_map(|item| {
            let item = &found[item];
            let at = item.iter().rposition(|token| token.text == "mod")?;
            let is_declaration = item.get(at + 2)?.text == ";";
            is_declaration.then(|| item[at + 1].text.to_owned())
        })
        .collect()
}

/// The code without the items that exist only under test.
pub(crate) fn without_tests<'a>(found: &[Token<'a>]) -> Vec<Token<'a>> {
    let items = test_items(found);
    found
        .iter()
        .enumerate()
        .filter(|(index, _)| !items.iter().any(|item| item.contains(index)))
        .map(|(_, token)| *token)
        .collect()
}

/// The lines that hold only test code.
pub(crate) fn test_lines(found: &[Token<'_>]) -> Vec<RangeInclusive<usize>> {
    test_items(found)
        .into_iter()
        .map(|item| found[*item.start()].line..=found[*item.end()].line)
        .collect()
}

/// The index after `#[cfg(test)]` or `#![cfg(all(test, …))]` when one begins here. `any` and
/// `not` also let the item into a build that is no test.
fn test_attribute(found: &[Token<'_>], index: usize) -> Option<usize> {
    if found[index].text != "#" {
        return None;
    }
    let open = index + 1 + usize::from(found.get(index + 1)?.text == "!");
    if found.get(open)?.text != "[" || found.get(open + 1)?.text != "cfg" {
        return None;
    }
    let close = closing(found, open)?;
    let has = |word: &str| found[open..close].iter().any(|token| token.text == word);
    (has("test") && !has("not") && !has("any")).then_some(close + 1)
}

/// The last token of the item that begins at `start`: its `;`, the end of its block, or of the
/// list it is an element of.
fn item_end(found: &[Token<'_>], start: usize) -> usize {
    let mut index = start;
    while found.get(index).is_some_and(|token| token.text == "#") {
        index = closing(found, index + 1).unwrap_or(index) + 1;
    }
    while index < found.len() {
        match found[index].text {
            ";" => return index,
            "{" => return closing(found, index).unwrap_or(found.len() - 1),
            "(" | "[" => index = closing(found, index).unwrap_or(index),
            "}" | ")" | "]" => return index - 1,
            _ => {}
        }
        index += 1;
    }
    found.len() - 1
}

/// Index of the bracket that closes the one at `open`.
fn closing(found: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in found.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// Functions with a body, from the line of `fn` to that of the last brace, both counted.
pub(crate) fn functions(found: &[Token<'_>]) -> Vec<Function> {
    let mut bodies = Vec::new();
    for index in 0..found.len().saturating_sub(1) {
        let name = found[index + 1].text;
        if found[index].text != "fn" || !name.starts_with(is_word) {
            continue;
        }
        let end = item_end(found, index);
        if found[end].text == "}" {
            bodies.push(Function {
                name: name.to_owned(),
                line: found[index].line,
                lines: found[end].line - found[index].line + 1,
            });
        }
    }
    bodies
}

fn is_word(mark: char) -> bool {
    mark == '_' || mark.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let scanned = scan(source);
        tokens(&scanned.code)
            .iter()
            .map(|token| token.text.to_owned())
            .collect()
    }

    fn literals(source: &str) -> Vec<String> {
        scan(source)
            .strings
            .into_iter()
            .map(|literal| literal.text)
            .collect()
    }

    #[test]
    fn comments_are_no_code_even_nested_and_with_quotes() {
        let source = "a // b \" '\n/* c /* d */ \" e */ f /// g\n//! h\ni";
        assert_eq!(words(source), ["a", "f", "i"]);
        assert!(literals(source).is_empty());
    }

    #[test]
    fn strings_hide_comment_marks_braces_and_escaped_quotes() {
        assert_eq!(words(r#"f("// { \" /* ", x) // "no"#), words("f(\"\", x)"));
        assert_eq!(literals(r#"f("a \" b", "\\")"#), [r#"a \" b"#, r"\\"]);
    }

    #[test]
    fn raw_strings_end_at_their_own_number_of_hashes() {
        let source = r####"r#"a " { \"# ; br##"b "# c"## ; cr"d" ; r"\" ; e"####;
        assert_eq!(literals(source), ["a \" { \\", "b \"# c", "d", "\\"]);
        assert_eq!(words(source).last().unwrap(), "e");
    }

    #[test]
    fn byte_and_c_strings_are_strings() {
        assert_eq!(literals(r#"b"{" c"}" br"/*""#), ["{", "}", "/*"]);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) -> char { 'l: loop { '{' } }"),
            [
                "fn", "f", "<", "'a", ">", "(", "x", ":", "&", "'a", "str", ")", "-", ">", "char",
                "{", "'l", ":", "loop", "{", "'", "'", "}", "}"
            ]
        );
        assert_eq!(
            words(r"['\'', '\\', '\u{7b}', '\x7d', b'{', '→', '\n'] end").last(),
            Some(&"end".to_owned())
        );
        assert!(!words(r"['\'', '\\', '\u{7b}', b'{']").contains(&"{".to_owned()));
    }

    #[test]
    fn a_raw_identifier_is_no_keyword_and_no_string() {
        assert_eq!(words("r#fn(r#type)"), ["r#fn", "(", "r#type", ")"]);
    }

    #[test]
    fn lines_keep_their_numbers_through_every_literal_and_comment() {
        let source = "/* 1\n2 */ r\"3\n4\"; \"5 \\\n6\"; '\\n';\nend";
        let scanned = scan(source);
        assert_eq!(scanned.code.lines().count(), source.lines().count());
        assert_eq!(tokens(&scanned.code).last().unwrap().line, 5);
        let lines: Vec<usize> = scanned.strings.iter().map(|text| text.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for source in ["\"abc", "r#\"abc", "/* abc", "'\\", "b\"\\", "'"] {
            assert!(scan(source).code.len() <= source.len(), "{source}");
        }
    }

    #[test]
    fn groups_in_use_declarations_are_written_out() {
        let code = "use std::{fs, io::{self as i, Read}, vec::*}; use a::b as c;";
        let paths: Vec<String> = use_paths(&tokens(code))
            .into_iter()
            .map(|path| path.text)
            .collect();
        let expected = [
            "std::fs",
            "std::io::self",
            "std::io::Read",
            "std::vec::*",
            "a::b",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn test_items_end_where_they_end() {
        let code = "a #[cfg(test)] #[allow(x)] mod tests { fn b() { c } } d \
                    #[cfg(all(test, feature))] use e::{f}; g #[cfg(any(test, h))] fn i() {} \
                    #[cfg(not(test))] fn j() {} struct K { #[cfg(test)] l: [u8; 2] } m";
        let found = tokens(code);
        let kept: Vec<&str> = without_tests(&found)
            .iter()
            .map(|token| token.text)
            .collect();
        for word in ["a", "d", "g", "i", "j", "K", "m"] {
            assert!(kept.contains(&word), "{word}");
        }
        for word in ["b", "c", "f", "l"] {
            assert!(!kept.contains(&word), "{word}");
        }
    }

    #[test]
    fn a_file_may_be_a_test_as_a_whole() {
        assert!(without_tests(&tokens("#![cfg(test)] fn a() {} fn b() {}")).is_empty());
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_named() {
        let found = tokens("#[cfg(test)] mod laws; mod real; #[cfg(test)] mod here { }");
        assert_eq!(test_files(&found), ["laws"]);
    }

    #[test]
    fn function_lengths_count_first_and_last_line() {
        let code = "trait T { fn no_body(x: [u8; 2]); }\n\
                    fn one() -> fn(u8) -> u8 { f }\n\
                    fn three<T>(x: [u8; 3])\nwhere T: A {\n}\n";
        let found = functions(&tokens(code));
        let measured: Vec<(&str, usize, usize)> = found
            .iter()
            .map(|function| (function.name.as_str(), function.line, function.lines))
            .collect();
        assert_eq!(measured, [("one", 2, 1), ("three", 3, 3)]);
    }

    #[test]
    fn a_pattern_matches_whole_words_across_spaces() {
        let found = tokens("operand::x; rand :: y; static  mut Z");
        assert_eq!(lines_with(&found, "rand::"), [1]);
        assert_eq!(lines_with(&found, "static mut"), [1]);
        assert!(lines_with(&found, "and::").is_empty());
    }
}
