//! `/api/v1/openapi.json`: the API's description, made from its types and handlers.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, PathItem, Ref, RefOr, Response as Described, ResponseBuilder,
};

use super::{
    audit, environments, health, history, job_files, jobs, pauses, runs, sites, snapshots, tokens,
};
use crate::http::auth::SESSION;
use crate::http::reply::{Problem, tagged};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "envsyncd",
        description = "Copies an environment's data into the environment below it. Times are RFC 3339 in UTC, durations are seconds, sizes bytes. What goes wrong is a problem of RFC 9457."
    ),
    paths(
        audit::list,
        environments::list, environments::show, environments::hold, environments::release,
        health::alive, health::ready, health::metrics,
        history::list,
        job_files::show, job_files::put, job_files::remove,
        jobs::list, jobs::show, jobs::runs, jobs::run, jobs::rollback,
        pauses::pause_job, pauses::resume_job, pauses::pause_environment, pauses::resume_environment, pauses::pause_all, pauses::resume_all,
        runs::list, runs::show, runs::cancel, runs::log,
        sites::list, sites::show, sites::sync, sites::syncs, sites::sync_of,
        snapshots::list,
        tokens::list, tokens::create, tokens::revoke,
    ),
    components(schemas(Problem)),
    security(("token" = []), ("session" = [])),
)]
struct Api;

/// What may go wrong with any request.
const PROBLEMS: [(&str, &str); 14] = [
    ("400", "The request makes no sense"),
    ("401", "Nobody has said who asks"),
    ("403", "Policy, or the token's scope or limits, forbid it"),
    ("404", "There is no such thing"),
    ("405", "Not with this method"),
    ("408", "The request took too long"),
    ("409", "Busy: a run, a hold or a pause has it"),
    ("412", "The file is not the one that `If-Match` names"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON, or a job's file not TOML"),
    ("421", "This host is not called so"),
    (
        "422",
        "The configuration is wrong, or an Idempotency-Key was used for something else",
    ),
    ("429", "Too many wrong tokens"),
    ("503", "The daemon or the state store is not available"),
];

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut api = Api::openapi();
    if let Some(components) = api.components.as_mut() {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let session = ApiKey::Cookie(ApiKeyValue::new(SESSION));
        components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    }
    for item in api.paths.paths.values_mut() {
        add_problems(item);
    }
    serde_json::to_vec_pretty(&api).unwrap_or_default()
});

fn add_problems(item: &mut PathItem) {
    let operations = [
        &mut item.get,
        &mut item.post,
        &mut item.delete,
        &mut item.put,
    ];
    for operation in operations.into_iter().flatten() {
        for (status, description) in PROBLEMS {
            let all = &mut operation.responses.responses;
            all.entry(status.to_owned())
                .or_insert_with(|| RefOr::T(problem(description)));
        }
    }
}

fn problem(description: &str) -> Described {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

/// The document.
pub(super) async fn document(headers: HeaderMap) -> Response {
    tagged(&headers, DOCUMENT.as_slice())
}
