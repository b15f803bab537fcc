//! The way back through a list that is read forward only.
//!
//! A place in a list is where the page before ended, and a list can be read from there on alone. So
//! the address of each page names the places of the pages before it: as many as a person goes back
//! without starting anew, and no session has to remember them.

/// The places of the pages before, the first page aside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trail(Vec<String>);

impl Trail {
    /// Reads the text form; `None` when it holds what is no place.
    pub(crate) fn parse(text: &str, is_place: impl Fn(&str) -> bool) -> Option<Self> {
        let places = text.split(BETWEEN).filter(|place| !place.is_empty());
        let places: Vec<_> = places.map(str::to_owned).collect();
        let is_trail = places.len() <= PLACES_MAX && places.iter().all(|place| is_place(place));
        is_trail.then_some(Self(places))
    }

    /// The trail of the next page, where this page begins behind `here`.
    pub(super) fn forward(&self, here: Option<&str>) -> String {
        let all = self.0.iter().map(String::as_str).chain(here);
        let all: Vec<_> = all.collect();
        let kept = all.get(all.len().saturating_sub(PLACES_MAX)..);
        kept.unwrap_or_default().join(&BETWEEN.to_string())
    }

    /// The page before: where it begins, and its own trail. Without a place it is the first page.
    pub(super) fn backward(&self) -> (Option<&str>, String) {
        match self.0.split_last() {
            None => (None, String::new()),
            Some((last, before)) => (Some(last), before.join(&BETWEEN.to_string())),
        }
    }
}

/// In no place of any list.
const BETWEEN: char = '~';
/// Pages that a person goes back one by one.
const PLACES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(text: &str) -> Option<Trail> {
        Trail::parse(text, |place| place.chars().all(|c| c.is_ascii_lowercase()))
    }

    #[test]
    fn the_way_back_is_the_way_there_reversed() {
        let (mut here, mut back) = (None, String::new());
        for next in ["a", "b", "c"] {
            back = trail(&back).unwrap().forward(here);
            here = Some(next);
        }
        assert_eq!((here, back.as_str()), (Some("c"), "a~b"));
        let mut places = vec![here.map(str::to_owned)];
        for _ in 0..3 {
            let trail = trail(&back).unwrap();
            let (before, rest) = trail.backward();
            places.push(before.map(str::to_owned));
            back = rest;
        }
        let expected = [Some("c"), Some("b"), Some("a"), None];
        assert_eq!(places, expected.map(|place| place.map(str::to_owned)));
    }

    #[test]
    fn a_trail_is_bounded_and_holds_places_only() {
        assert_eq!(trail("a~B"), None);
        assert_eq!(trail("a~b~c~d~e~f~g~h~i"), None);
        let long = trail("a~b~c~d~e~f~g~h").unwrap();
        assert_eq!(long.forward(Some("i")), "b~c~d~e~f~g~h~i");
    }
}
