//! `/login` and `/logout`.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;

use super::answer;
use super::view::{Login, Notice, Place};
use super::visitor::{Asked, Fields, Posted, of_stranger};
use crate::http::app::App;
use crate::http::auth::{How, is_foreign};
use crate::http::peer::Peer;
use crate::http::reply::Problem;
use crate::http::session;

/// The page; with a link of `envsyncd panel` in the address: its use.
pub(super) async fn page(
    State(app): State<App>,
    Asked(fields): Asked,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let then = place(fields.text("then"));
    // What only asks for the head, a preview of a message say, must not use the link up.
    let is_looked_at = parts.method == Method::GET;
    let Some(link) = fields.some("link").filter(|_| is_looked_at) else {
        return form(then, None);
    };
    let opened = session::follow(&app, &link, &address(&parts)).await;
    let made = opened.and_then(|key| go_on(&app, &key, "/"));
    made.unwrap_or_else(|problem| form(then, Some(problem)))
}

/// Opens a session with a token.
pub(super) async fn login(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_foreign = is_foreign(&parts);
    let address = address(&parts);
    let fields = match Fields::of(Request::from_parts(parts, body), &app).await {
        Ok(fields) => fields,
        Err(problem) => return form("/".to_owned(), Some(problem)),
    };
    let then = place(fields.text("then"));
    if is_foreign {
        let problem = Problem::forbidden("this was sent by a page of another site");
        return form(then, Some(problem));
    }
    let opened = session::log_in(&app, fields.text("token"), &address).await;
    let made = opened.and_then(|key| go_on(&app, &key, &then));
    made.unwrap_or_else(|problem| form(then, Some(problem)))
}

/// Ends the session.
pub(super) async fn logout(Posted { visitor, .. }: Posted) -> Response {
    let ended = match &visitor.identity.how {
        How::Session(key) => session::log_out(&visitor.app, key).await,
        _ => Ok(()),
    };
    let made = ended.and_then(|()| go_on(&visitor.app, "", "/login"));
    visitor.answer(made)
}

fn go_on(app: &App, key: &str, place: &str) -> Result<Response, Problem> {
    let mut response = answer::go_to(place);
    session::set(app, &mut response, key)?;
    Ok(response)
}

fn form(then: String, problem: Option<Problem>) -> Response {
    let mut frame = of_stranger(Place::Elsewhere);
    let status = problem.as_ref().map(Problem::status);
    frame.notice = problem.map(|problem| Notice {
        is_good: false,
        sentence: problem.detail,
        hint: problem.hint,
    });
    match answer::rendered(&Login { frame, then }) {
        Ok(text) => {
            let mut response = answer::html(text);
            *response.status_mut() = status.unwrap_or_default();
            response
        }
        Err(error) => answer::failed(of_stranger(Place::Elsewhere), error.into()),
    }
}

fn address(parts: &Parts) -> String {
    parts
        .extensions
        .get::<Peer>()
        .map_or_else(String::new, ToString::to_string)
}

/// Where to go after the login: a page of ours, and nowhere else.
fn place(then: &str) -> String {
    let is_ours = then.starts_with('/')
        && !then.starts_with("//")
        && then.len() <= 1000
        && then.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if is_ours {
        then.to_owned()
    } else {
        "/".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_ours_alone() {
        assert_eq!(place("/jobs/a?x=1"), "/jobs/a?x=1");
        let others = [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nSet-Cookie: x",
            "jobs",
        ];
        for other in others {
            assert_eq!(place(other), "/", "{other}");
        }
    }
}
