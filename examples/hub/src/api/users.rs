//! People of an organisation, for its administrators.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use monsys_core::id::UserId;
use monsys_core::name::DisplayName;
use monsys_core::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::problem;
use crate::app::App;
use crate::random::random_bytes;
use crate::security::password::{BUSY_RETRY_AFTER_S, Password};
use crate::security::session::ApiSession;
use crate::small_body::SmallBody;
use crate::store::{Author, LISTED_MAX, NewUser, Role, UserSummary};

/// People on one page, unless asked otherwise.
const LISTED: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUserRequest {
    #[serde(alias = "email")]
    username: String,
    password: Password,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    cursor: Option<String>,
    limit: Option<u32>,
    /// Checked by the policy of the route.
    #[serde(rename = "org_id")]
    _org_id: Option<String>,
}

#[derive(Serialize)]
struct ShownUser {
    user_id: String,
    username: String,
    role: &'static str,
    has_password: bool,
    disabled_at: Option<String>,
    created_at: String,
}

impl ShownUser {
    fn new(user: UserSummary) -> Self {
        Self {
            user_id: user.user.to_string(),
            username: user.email,
            role: user.role.as_str(),
            has_password: user.has_password,
            disabled_at: user.disabled_at.map(|at| at.to_rfc3339()),
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

/// `GET /v1/admin/users`: people of the organisation, by login name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let limits = 1..=LISTED_MAX;
    let Some(Query(query)) = query
        .ok()
        .filter(|query| query.limit.is_none_or(|limit| limits.contains(&limit)))
    else {
        return problem::unprocessable("expected at most cursor, and limit from 1 to 200");
    };
    let limit = query.limit.unwrap_or(LISTED);
    // The cursor is the last name shown, which is no secret, and may be any text.
    let after = query.cursor.filter(|cursor| !cursor.contains('\0'));
    match app.store.users(session.user.tenant, after, limit).await {
        Ok(users) => {
            let is_full = u32::try_from(users.len()).is_ok_and(|n| n >= limit);
            let last = users.last().filter(|_| is_full);
            let next_cursor = last.map(|user| user.email.clone());
            let items: Vec<_> = users.into_iter().map(ShownUser::new).collect();
            super::json(&json!({"items": items, "next_cursor": next_cursor}))
        }
        Err(error) => problem::of_store(&error),
    }
}

/// `POST /v1/admin/users`: adds a person with a password.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    SmallBody(body): SmallBody,
) -> Response {
    let request: NewUserRequest = match super::strict_json(&body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let role = match checked(&request) {
        Ok(role) => role,
        Err(expected) => return problem::unprocessable(expected),
    };
    let Ok(password) = app.auth.hashing.hash(request.password).await else {
        return problem::busy("expected fewer passwords at once", BUSY_RETRY_AFTER_S);
    };
    let user = NewUser {
        user: UserId::from_random_bytes(random_bytes()),
        tenant: session.user.tenant,
        email: request.username,
        role,
        password: Some(password),
    };
    let (id, username) = (user.user, user.email.clone());
    let added = app.store.add_user(user, Author::User(session.user.user));
    match added.await {
        Ok(()) => {
            let shown = json!({
                "user_id": id.to_string(), "username": username, "role": role.as_str(),
            });
            (StatusCode::CREATED, super::json(&shown)).into_response()
        }
        Err(StoreError::AlreadyExists) => {
            problem::conflict("expected a username that the organisation does not have yet")
        }
        Err(error) => problem::of_store(&error),
    }
}

fn checked(request: &NewUserRequest) -> Result<Role, &'static str> {
    request.password.check_new()?;
    let is_name = DisplayName::parse(&request.username).is_ok();
    if !is_name || request.username.trim() != request.username {
        return Err("expected a username of 1 to 128 bytes, without spaces around it");
    }
    Role::from_word(&request.role).ok_or("expected role to be admin or read_only")
}
