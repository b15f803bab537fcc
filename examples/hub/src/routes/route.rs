//! One route: where it is, who may call it, what it is, and what answers.

use std::sync::Arc;

use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::app::App;
use crate::security::policy::{Form, Known, Policy, Who, enforce};

/// One route. It is made of a policy and a handler that suits it, so there is none without one.
pub(crate) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) policy: Policy,
    pub(super) about: About,
    handlers: Handlers,
}

/// What the description of the API says of a route beyond its path and policy.
#[derive(Debug)]
pub(super) struct About {
    pub(super) summary: &'static str,
    /// Parameters of the query: each is named as a component of the description.
    pub(super) query: &'static [&'static str],
    /// The schema of a JSON body that it takes.
    pub(super) body: Option<&'static str>,
    /// What it answers when all is well, each with its status.
    pub(super) gives: Vec<(u16, Gives)>,
}

/// What an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// JSON of this schema.
    Json(&'static str),
    /// Text of this media type.
    Text(&'static str),
    /// A page.
    Page,
    /// Nothing but its headers.
    Nothing,
}

/// The methods that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    /// Reads; a route that has it answers HEAD as well.
    Get,
    /// Changes.
    Post,
}

impl Verb {
    /// Returns the name of the method.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    /// Returns what `Allow` says of a path that has it.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

/// A route's handler, with the state from which it can take what its policy finds.
pub(crate) enum Handlers {
    /// Nobody is known.
    Open(MethodRouter<Arc<App>>),
    /// The caller is.
    Known(MethodRouter<Known>),
}

/// A policy as the table names it. The type of the state is what keeps a handler that takes a
/// session off a route that finds none.
pub(crate) trait Access {
    /// From what handlers take things.
    type State: Clone + Send + Sync + 'static;

    /// Returns the policy.
    fn policy(&self) -> Policy;

    /// Says which state a handler has.
    fn handlers(handler: MethodRouter<Self::State>) -> Handlers;
}

/// A policy that finds nobody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open(Policy);

/// A policy that finds a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed(Policy);

impl Access for Open {
    type State = Arc<App>;

    fn policy(&self) -> Policy {
        self.0
    }

    fn handlers(handler: MethodRouter<Arc<App>>) -> Handlers {
        Handlers::Open(handler)
    }
}

impl Access for Closed {
    type State = Known;

    fn policy(&self) -> Policy {
        self.0
    }

    fn handlers(handler: MethodRouter<Known>) -> Handlers {
        Handlers::Known(handler)
    }
}

impl Open {
    const fn new(who: Who, form: Form) -> Self {
        Self(Policy { who, form })
    }
}

impl Closed {
    const fn new(who: Who, form: Form) -> Self {
        Self(Policy { who, form })
    }
}

/// A page for anybody.
pub(super) const PUBLIC_PAGE: Open = Open::new(Who::Anyone, Form::Page);
/// A call for anybody.
pub(super) const PUBLIC_API: Open = Open::new(Who::Anyone, Form::Api);
/// A page for whoever knows the one-time secret in its path, which the handler checks.
pub(super) const LINK: Open = Open::new(Who::LinkHolder, Form::Page);
/// A call of agents, whose token or MAC the handler checks.
pub(super) const AGENT: Open = Open::new(Who::Agent, Form::Api);
/// The metrics.
pub(super) const METRICS: Open = Open::new(Who::Monitor, Form::Api);
/// A page, or a form, for each person of an organisation.
pub(super) const PAGE: Closed = Closed::new(Who::Person, Form::Page);
/// A call for each person of an organisation.
pub(super) const API: Closed = Closed::new(Who::Person, Form::Api);
/// A page, or a form, for administrators.
pub(super) const ADMIN_PAGE: Closed = Closed::new(Who::Admin, Form::Page);
/// A call for administrators.
pub(super) const ADMIN_API: Closed = Closed::new(Who::Admin, Form::Api);

/// A route that reads.
pub(super) fn get<A, H, T>(
    access: A,
    path: &'static str,
    handler: H,
    summary: &'static str,
) -> Route
where
    A: Access,
    H: Handler<T, A::State>,
    T: 'static,
{
    Route::new(Verb::Get, access, path, handler, summary)
}

/// A route that changes something.
pub(super) fn post<A, H, T>(
    access: A,
    path: &'static str,
    handler: H,
    summary: &'static str,
) -> Route
where
    A: Access,
    H: Handler<T, A::State>,
    T: 'static,
{
    Route::new(Verb::Post, access, path, handler, summary)
}

impl Route {
    fn new<A, H, T>(
        verb: Verb,
        access: A,
        path: &'static str,
        handler: H,
        summary: &'static str,
    ) -> Self
    where
        A: Access,
        H: Handler<T, A::State>,
        T: 'static,
    {
        Self {
            verb,
            path,
            policy: access.policy(),
            about: About {
                summary,
                query: &[],
                body: None,
                gives: Vec::new(),
            },
            handlers: A::handlers(on(verb.filter(), handler)),
        }
    }

    /// Says which parameters its query may have.
    pub(super) fn asks(mut self, query: &'static [&'static str]) -> Self {
        self.about.query = query;
        self
    }

    /// Says which JSON it takes.
    pub(super) fn takes(mut self, schema: &'static str) -> Self {
        self.about.body = Some(schema);
        self
    }

    /// Says that it answers 200 with JSON of a schema.
    pub(super) fn gives(self, schema: &'static str) -> Self {
        self.or(200, Gives::Json(schema))
    }

    /// Says what else it answers.
    pub(super) fn or(mut self, status: u16, gives: Gives) -> Self {
        self.about.gives.push((status, gives));
        self
    }

    /// Makes the service of this route: its policy, and behind it its handler.
    pub(super) fn service(self, app: &Arc<App>) -> MethodRouter<Arc<App>> {
        let handler = match self.handlers {
            Handlers::Open(handler) => handler,
            Handlers::Known(handler) => handler.with_state(Known(Arc::clone(app))),
        };
        handler.route_layer(from_fn_with_state((self.policy, Arc::clone(app)), enforce))
    }
}
