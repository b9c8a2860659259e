//! `--server URL`: verbs that another host's daemon answers, over its API.

mod answers;

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::answers::{place, refused, segment, show, steps, text, token, tone, took, when};
use super::runtime::runtime;
use super::table::{Table, Tone, column, less};
use super::terminal;
use super::terminal::Screen;
use crate::error::{Error, Kind, Result};
use crate::tls;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a run.
const PAUSE: Duration = Duration::from_millis(500);

/// Lines of a log that are read at a time.
const LINES: usize = 1000;

/// Another host's daemon.
pub(super) struct Server {
    url: Url,
    token: String,
    client: Client,
    runtime: Runtime,
}

impl Server {
    /// Reads where it is and the token, and asks nothing yet.
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(
                Kind::Usage,
                format!("--server {}: {why}", crate::config::quote(url)),
            )
            .hint("write it as https://HOST:PORT")
        };
        let parsed = Url::parse(url).map_err(|_| wrong("this is no URL"))?;
        let loopback = match parsed.host_str() {
            Some("localhost") => true,
            Some(host) => (host.trim_matches(['[', ']']).parse::<std::net::IpAddr>())
                .is_ok_and(|address| address.is_loopback()),
            None => return Err(wrong("it has no host")),
        };
        match parsed.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => {
                return Err(wrong(
                    "a token is not sent without TLS, except to this machine",
                ));
            }
            _ => return Err(wrong("it is neither https nor http")),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("a user and a password are of no use there"));
        }
        let config = tls::client()?
            .with_root_certificates(tls::authorities(None).map_err(|fault| {
                fault.because_of(Error::new(
                    Kind::Config,
                    "this machine's authorities cannot be read",
                ))
            })?)
            .with_no_client_auth();
        let client = Client::builder()
            .use_preconfigured_tls(config)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::new(Kind::Internal, "no client can be made").because(error))?;
        Ok(Self {
            url: parsed,
            token: token(token_file)?,
            client,
            runtime: runtime(1)?,
        })
    }

    /// A request, and the answer's JSON; `null` where there is none.
    fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value> {
        let mut url = self.url.clone();
        url.set_path(&format!(
            "{}/api/v1{path}",
            self.url.path().trim_end_matches('/')
        ));
        for (key, value) in query {
            url.query_pairs_mut().append_pair(key, value);
        }
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let host = self.url.host_str().unwrap_or_default().to_owned();
        let broken = |error: reqwest::Error| {
            // Its URL is the user's own, and says nothing new.
            Error::new(Kind::Connection, format!("{host} does not answer"))
                .because(error.without_url())
        };
        let (status, text) = self.runtime.block_on(async {
            let answer = request.send().await.map_err(broken)?;
            let status = answer.status();
            Ok::<_, Error>((status, answer.text().await.map_err(broken)?))
        })?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(refused(&host, status, &text))
    }

    fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.ask(Method::GET, path, query, None)
    }

    /// The id of the run that is meant: a job's last one by the job's name, or one by its id.
    fn run(&self, what: &str) -> Result<String> {
        let newest = self.get(
            "/runs",
            &[("job", what.to_owned()), ("limit", "1".to_owned())],
        )?;
        if let Some(id) = newest["items"][0]["run_id"].as_str() {
            return Ok(id.to_owned());
        }
        Ok(text(
            &self.get(&format!("/runs/{}", segment(what)), &[])?,
            "run_id",
        ))
    }

    /// Has it run a job now.
    pub(super) fn trigger(&self, job: &str, only: &[String], wait: bool) -> Result<u8> {
        let path = format!("/jobs/{}/runs", segment(job));
        let started = self.ask(Method::POST, &path, &[], Some(json!({ "only": only })))?;
        let id = text(&started, "id");
        terminal::print(&format!("{id}\n"))?;
        if wait { self.wait(&id) } else { Ok(0) }
    }

    /// Waits for a run's end; the result is its exit code.
    fn wait(&self, id: &str) -> Result<u8> {
        loop {
            let run = self.get(&format!("/runs/{id}"), &[])?;
            if !run["finished_at"].is_null() {
                let (job, state, message) = (
                    text(&run, "job"),
                    text(&run, "state"),
                    text(&run, "message"),
                );
                let why = if message.is_empty() {
                    String::new()
                } else {
                    format!(": {message}")
                };
                terminal::note(&format!("{job} {state}{why}"));
                let code = run["exit_code"]
                    .as_u64()
                    .and_then(|code| u8::try_from(code).ok());
                return Ok(code.unwrap_or(1));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Has it end a run.
    pub(super) fn cancel(&self, what: &str, wait: bool) -> Result<u8> {
        let id = self.run(what)?;
        self.ask(
            Method::POST,
            &format!("/runs/{id}/cancel"),
            &[],
            Some(json!({})),
        )?;
        terminal::print(&format!("run {id} is told to end\n"))?;
        if wait {
            self.wait(&id)?;
        }
        Ok(0)
    }

    /// Says how its jobs are.
    pub(super) fn status(&self, job: Option<&str>, as_json: bool) -> Result<u8> {
        let mut jobs = self.get("/jobs", &[])?;
        if let Some(job) = job {
            let one = self.get(&format!("/jobs/{}", segment(job)), &[])?;
            jobs = json!({ "items": [one] });
        }
        if as_json {
            terminal::print_json(&jobs)?;
            return Ok(0);
        }
        let now = Utc::now();
        let mut table = Table::new(&[
            column("JOB"),
            column("STATE"),
            less("DATA", 2),
            column("LAST SUCCESS"),
            column("NEXT RUN"),
            column("MESSAGE"),
        ]);
        for job in jobs["items"].as_array().into_iter().flatten() {
            let state = text(job, "state");
            let next = if job["paused"].is_null() {
                when(&job["next_run_at"], now)
            } else {
                "paused".into()
            };
            table.row(
                tone(&state),
                vec![
                    text(job, "name").into(),
                    state.into(),
                    format!("{} -> {}", text(job, "from"), text(job, "to")).into(),
                    when(&job["last_success_at"], now),
                    next,
                    text(&job["last_run"], "message").into(),
                ],
            );
        }
        show(&table)
    }

    /// Lists its runs.
    pub(super) fn history(&self, job: Option<&str>, limit: usize, as_json: bool) -> Result<u8> {
        let mut query = vec![("limit", limit.clamp(1, 200).to_string())];
        query.extend(job.map(|job| ("job", job.to_owned())));
        let runs = self.get("/runs", &query)?;
        if as_json {
            terminal::print_json(&runs)?;
            return Ok(0);
        }
        let now = Utc::now();
        let mut table = Table::new(&[
            column("RUN"),
            column("JOB"),
            column("STATE"),
            column("STARTED"),
            column("TOOK"),
            less("SIZE", 2),
            less("BY", 3),
            column("MESSAGE"),
        ]);
        for run in runs["items"].as_array().into_iter().flatten() {
            let state = text(run, "state");
            table.row(
                tone(&state),
                vec![
                    text(run, "run_id").into(),
                    text(run, "job").into(),
                    state.into(),
                    when(&run["started_at"], now),
                    took(run).into(),
                    terminal::bytes(run["bytes"].as_u64().unwrap_or(0)).into(),
                    text(run, "by").into(),
                    text(run, "message").into(),
                ],
            );
        }
        show(&table)
    }

    /// Shows a run.
    pub(super) fn show(&self, what: &str, as_json: bool) -> Result<u8> {
        let id = self.run(what)?;
        let run = self.get(&format!("/runs/{id}"), &[])?;
        if as_json {
            terminal::print_json(&run)?;
            return Ok(0);
        }
        let mut screen = Screen::new();
        for (name, key) in [
            ("run", "run_id"),
            ("job", "job"),
            ("state", "state"),
            ("step", "step"),
            ("by", "by"),
            ("message", "message"),
        ] {
            let value = text(&run, key);
            if !value.is_empty() {
                let is_bad = key == "state" && tone(&value) == Tone::Bad;
                let tone = if is_bad { Tone::Bad } else { Tone::Plain };
                screen.toned(&format!("{name:10} {value}"), tone);
            }
        }
        screen.line(&format!(
            "{:10} {} -> {}",
            "data",
            text(&run, "from"),
            text(&run, "to")
        ));
        screen.line(&format!("{:10} {}", "took", took(&run)));
        screen.line("");
        let mut table = Table::new(&[
            column("TASK"),
            column("KIND"),
            column("STATE"),
            column("DONE"),
            column("ROWS"),
            column("SIZE"),
            column("MESSAGE"),
        ]);
        for task in run["tasks"].as_array().into_iter().flatten() {
            let state = text(task, "state");
            table.row(
                tone(&state),
                vec![
                    text(task, "name").into(),
                    text(task, "kind").into(),
                    state.into(),
                    format!("{:.0} %", task["progress_percent"].as_f64().unwrap_or(0.0)).into(),
                    terminal::number(task["rows"].as_u64().unwrap_or(0)).into(),
                    terminal::bytes(task["bytes"].as_u64().unwrap_or(0)).into(),
                    text(task, "message").into(),
                ],
            );
        }
        screen.table(&table);
        for (place, line) in steps(&run).iter().enumerate() {
            if place == 0 {
                screen.line("");
            }
            screen.line(line);
        }
        screen.show()?;
        Ok(0)
    }

    /// Prints a run's log.
    pub(super) fn logs(&self, args: &super::logs::Args) -> Result<u8> {
        let id = self.run(&args.run)?;
        let mut after = 0;
        loop {
            let mut query = vec![("after", after.to_string()), ("limit", LINES.to_string())];
            query.extend(args.search.clone().map(|text| ("search", text)));
            let page = self.get(&format!("/runs/{id}/log"), &query)?;
            let lines = page["items"].as_array().cloned().unwrap_or_default();
            let mut all = String::new();
            for line in &lines {
                if args.json {
                    all.push_str(&terminal::json_line(line)?);
                } else {
                    let task = text(line, "task");
                    let task = if task.is_empty() {
                        task
                    } else {
                        format!("[{task}] ")
                    };
                    all.push_str(&format!(
                        "{} {:5} {task}{}",
                        text(line, "at"),
                        text(line, "level"),
                        text(line, "message")
                    ));
                }
                all.push('\n');
            }
            if !terminal::print(&all)? {
                return Ok(0);
            }
            after = page["next"].as_i64().unwrap_or(after);
            if lines.len() == LINES {
                continue;
            }
            if !args.follow || page["complete"] == true {
                return Ok(0);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Pauses a job, what flows into an environment, or everything.
    pub(super) fn pause(&self, args: &super::pause::Args) -> Result<u8> {
        let length = args
            .length
            .map(|length| humantime::format_duration(length).to_string());
        let until = args.until.map(|until| until.to_rfc3339());
        let body = json!({ "reason": args.reason, "for": length, "until": until });
        let pause = self.ask(Method::POST, &place(&args.what), &[], Some(body))?;
        let until = text(&pause, "until");
        let until = if until.is_empty() {
            until
        } else {
            format!(" until {until}")
        };
        terminal::print(&format!(
            "{}: paused{until}: {}\n",
            args.what.paused(),
            text(&pause, "reason")
        ))?;
        Ok(0)
    }

    /// Ends a pause.
    pub(super) fn resume(&self, which: &super::pause::What) -> Result<u8> {
        self.ask(Method::DELETE, &place(which), &[], None)?;
        terminal::print(&format!("{}: resumed\n", which.paused()))?;
        Ok(0)
    }

    /// Holds an environment.
    pub(super) fn hold(&self, environment: &str, reason: &str) -> Result<u8> {
        let path = format!("/environments/{}/hold", segment(environment));
        self.ask(Method::POST, &path, &[], Some(json!({ "reason": reason })))?;
        terminal::print(&format!(
            "{environment} is held until `envsyncd release {environment}`\n"
        ))?;
        Ok(0)
    }

    /// Releases one.
    pub(super) fn release(&self, environment: &str) -> Result<u8> {
        let path = format!("/environments/{}/hold", segment(environment));
        self.ask(Method::DELETE, &path, &[], None)?;
        terminal::print(&format!("{environment} is released\n"))?;
        Ok(0)
    }
}
