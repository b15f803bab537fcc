//! Requests by the route that answered them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::histogram::{Histogram, LATENCY_US, Reading};
use crate::routes::paths;

/// What answers are told apart by.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests of one route.
struct Route {
    template: &'static str,
    by_class: [AtomicU64; CLASSES.len()],
    took: Histogram,
}

/// Requests by route of the table and class of their answer, and how long they took by route. What
/// is at no route is `other`.
///
/// Both at once would be some thousand lines, most of them empty for ever: what is slow is a
/// question to a route, and so is what fails.
pub(crate) struct RequestCounters {
    /// By template, so that one is found by halving.
    routes: Vec<Route>,
    other: Route,
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request that counts as under way until this is dropped.
pub(crate) struct UnderWay<'a>(&'a RequestCounters);

impl Route {
    fn new(template: &'static str) -> Self {
        Self {
            template,
            by_class: Default::default(),
            took: Histogram::new(LATENCY_US),
        }
    }
}

impl RequestCounters {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        Self {
            // In the order of their paths.
            routes: paths().into_iter().map(Route::new).collect(),
            other: Route::new("other"),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    /// Counts a request that begins.
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, template: Option<&str>, status: u16, since: Instant) {
        let route = template.map_or(&self.other, |template| self.route(template));
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(cell) = route.by_class.get(class) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
        route.took.observe_since(since);
    }

    /// How many are under way.
    pub(crate) fn n_under_way(&self) -> u64 {
        let ended = self.ended.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire).saturating_sub(ended)
    }

    /// Every route and class, and how many answers there were.
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.all().flat_map(|route| {
            let counts = route.by_class.iter().map(|n| n.load(Ordering::Relaxed));
            let classes = CLASSES.into_iter().zip(counts);
            classes.map(|(class, n)| (route.template, class, n))
        })
    }

    /// Every route and how long its answers took, in microseconds.
    pub(crate) fn took(&self) -> impl Iterator<Item = (&'static str, Reading)> {
        self.all().map(|route| (route.template, route.took.read()))
    }

    fn all(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain([&self.other])
    }

    fn route(&self, template: &str) -> &Route {
        let found = self
            .routes
            .binary_search_by_key(&template, |route| route.template);
        found
            .ok()
            .and_then(|index| self.routes.get(index))
            .unwrap_or(&self.other)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}
