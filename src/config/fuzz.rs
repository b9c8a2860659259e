//! Fuzz targets: files that people write, and what is in them. See `docs/fuzzing.md`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::document::{Document, MOST, quote};
use super::job::{Job, JobName, Settings};
use super::{archive_at, env_dir, job_file, percent_decoded, read_url, settings, value};
use crate::error::Error;
use crate::fuzz::{bytes, config, stores, texts};
use crate::schedule::{Schedule, Timetable};

const PLACE: &str = "/nowhere/job.toml";

/// That what is wrong can be shown, and stands where it is said to stand.
fn shown(list: &[Diagnostic]) -> Result<(), TestCaseError> {
    prop_assert!(list.len() <= 2 * MOST);
    for diagnostic in list {
        prop_assert!(!diagnostic.flaw.message.is_empty());
        prop_assert!(diagnostic.to_string().contains(&diagnostic.flaw.message));
        if let Some(place) = &diagnostic.place {
            let length = place.text.chars().count();
            prop_assert!(place.line > 0 && place.column > 0 && place.width > 0);
            prop_assert!(place.before <= length && !place.text.contains('\n'));
            // One caret may stand behind the end.
            prop_assert!(place.before + place.width <= length.max(place.before + 1));
        }
    }
    Ok(())
}

fn refused(all: Diagnostics) -> Result<(), TestCaseError> {
    prop_assert!(all.errors() > 0);
    shown(&all.iter().cloned().collect::<Vec<_>>())?;
    let error = Error::from(all).to_string();
    prop_assert!(!error.is_empty() && !error.contains('\n'), "{}", error);
    Ok(())
}

fn warned(list: &[Diagnostic]) -> Result<(), TestCaseError> {
    prop_assert!(list.iter().all(|one| one.severity == Severity::Warning));
    shown(list)
}

fn read_settings(text: &[u8]) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    let (over, warnings) = settings::overrides(std::iter::empty())?;
    let document = Document::of_bytes(Path::new("/nowhere/envsyncd.toml"), text.to_vec())?;
    settings::understand(document, over, warnings, stores())
}

fn read_job(text: &[u8], settings: &Settings) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    let file = Path::new(PLACE);
    let document = Document::of_bytes(file, text.to_vec())?;
    job_file::understand(document, file, settings)
}

/// Settings with the environments and endpoints of the examples.
fn usual() -> Settings {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/envsyncd.toml");
    let (settings, _) = read_settings(&std::fs::read(path).unwrap()).unwrap();
    settings
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn job_file(text in bytes(&["config.d", "tests/corpus/job_file"])) {
        thread_local!(static USUAL: Settings = usual());
        match USUAL.with(|settings| read_job(&text, settings)) {
            Ok((job, warnings)) => {
                warned(&warnings)?;
                prop_assert!(!job.tasks.is_empty());
                // What the daemon asks of each job that it takes.
                if let Some(timetable) = job.timetable(&usual(), "host") {
                    let _ = timetable.next_after(Utc::now());
                }
            }
            Err(all) => refused(all)?,
        }
    }

    #[test]
    fn managed_job_file(text in bytes(&["config.d", "tests/corpus/job_file", "tests/corpus/managed_job_file"])) {
        thread_local!(static USUAL: Settings = Settings {
            managed_job_dir: Some("/nowhere".into()),
            ..usual()
        });
        match USUAL.with(|settings| read_job(&text, settings)) {
            Ok((job, warnings)) => {
                warned(&warnings)?;
                prop_assert!(job.hooks.named().next().is_none());
                for task in &job.tasks {
                    prop_assert!(task.scripts.is_empty() && task.included.is_empty() && task.passes.is_empty());
                    prop_assert!(task.rows.is_empty() && task.masks.iter().all(|mask| mask.condition.is_none()));
                    for end in [&task.source, &task.target] {
                        prop_assert!(end.name.is_some() || (job.site.is_some() && end.password.is_none()));
                    }
                }
            }
            Err(all) => refused(all)?,
        }
    }

    #[test]
    fn settings_file(text in bytes(&["docs/envsyncd.toml", "packaging/deb/envsyncd.toml", "tests/corpus/settings_file"])) {
        match read_settings(&text) {
            Ok((settings, warnings)) => {
                warned(&warnings)?;
                prop_assert!(!settings.kill_after.is_zero());
            }
            Err(all) => refused(all)?,
        }
    }

    #[test]
    fn secret_reference(text in texts(&["tests/corpus/secret_reference"])) {
        let file = format!("[endpoints.a]\nurl = \"postgresql://u@h/d\"\npassword = {text}\n");
        match read_settings(file.as_bytes()) {
            Ok((_, warnings)) => warned(&warnings)?,
            Err(all) => refused(all)?,
        }
    }

    #[test]
    fn place_in_a_file(text in bytes(&["config.d", "tests/corpus/job_file"]), from: u16, length in 0_usize..80) {
        let Ok(document) = Document::of_bytes(Path::new(PLACE), text.to_vec()) else {
            return Ok(());
        };
        let from = usize::from(from) % (text.len() + 2);
        shown(&[document.at(from..from + length, "wrong")])?;
        let quoted = quote(&document.text);
        prop_assert!(!quoted.contains(char::is_control) && quoted.chars().count() <= 65);
    }

    #[test]
    fn url(text in texts(&["tests/corpus/url"])) {
        let directory = Path::new("/etc/envsyncd/config.d");
        // What is asked of a text before it is known to be a URL.
        let _ = (percent_decoded(&text), archive_at(&text, stores()));
        let Ok((url, password)) = read_url(&text, directory, stores()) else {
            return Ok(());
        };
        // What is kept is read again as the same, and without the password.
        let again = read_url(url.text(), directory, stores());
        prop_assert!(again.is_ok(), "{}", url);
        if let Ok((again, password)) = again {
            prop_assert_eq!(again.text(), url.text());
            prop_assert_eq!(again.place(), url.place());
            prop_assert_eq!(again.kind(), url.kind());
            prop_assert_eq!(again.database(), url.database());
            prop_assert_eq!(again.archive(), url.archive());
            prop_assert!(password.is_none());
        }
        if let Some(password) = password {
            prop_assert!(!password.expose_secret().is_empty());
        }
        prop_assert_eq!(url.kind().is_some(), url.archive().is_none());
    }

    #[test]
    fn env_dir_file(content in bytes(&["tests/corpus/env_dir_file"])) {
        use std::os::unix::ffi::OsStrExt as _;
        match env_dir::value(&content) {
            None => prop_assert!(content.is_empty()),
            Some(value) => {
                prop_assert!(value.len() <= content.len());
                prop_assert!(!value.as_bytes().contains(&0));
                prop_assert!(!value.as_bytes().ends_with(b" ") && !value.as_bytes().ends_with(b"\t"));
            }
        }
    }

    #[test]
    fn rate(text in texts(&["tests/corpus/rate"])) {
        if let Some(rate) = value::bytes_a_second(&text) {
            prop_assert!(rate > 0);
            prop_assert_eq!(value::bytes_a_second(&format!("{rate}B/s")), Some(rate));
        }
    }

    #[test]
    fn schedule(text in texts(&["tests/corpus/schedule"]), at: i64, second in 0_i64..4_000_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len(), jitter: u32) {
        let Ok(schedule) = Schedule::parse(&text) else {
            return Ok(());
        };
        prop_assert_eq!(Schedule::parse(schedule.as_str()), Ok(schedule.clone()));
        let _ = schedule.shortest_gap();
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let jitter = std::time::Duration::from_secs(jitter.into());
        let timetable = Timetable::new(schedule.clone(), zone, Some(jitter), "host", "job");
        let far = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
        let some = [DateTime::from_timestamp_micros(at), DateTime::from_timestamp(second, 0)];
        for after in far.into_iter().chain(some.into_iter().flatten()) {
            if let Some(due) = schedule.next_after(after, zone) {
                prop_assert!(due > after, "{} is not after {}", due, after);
            }
            if let Some(due) = timetable.next_after(after) {
                prop_assert!(due > after, "{} is not after {}", due, after);
            }
        }
    }

    #[test]
    fn name(text in texts(&["tests/corpus/name"])) {
        if let Ok(name) = JobName::parse(&text) {
            prop_assert_eq!(name.as_str(), &text);
            let path = PathBuf::from("/a").join(format!("{name}.toml"));
            prop_assert_eq!(path.parent(), Some(Path::new("/a")));
            prop_assert_eq!(JobName::of_file(&path), Ok(name));
        }
        if let Some(name) = super::archive::Name::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

#[test]
fn a_file_of_one_letter_and_a_carriage_return_is_wrong_and_no_more() {
    for text in ["x\r", "\r", "a = 1\r\nx\r", "x\r\r", "é\r"] {
        let all = read_job(text.as_bytes(), &usual()).unwrap_err();
        refused(all).unwrap();
        refused(read_settings(text.as_bytes()).unwrap_err()).unwrap();
    }
}

#[test]
fn a_url_that_is_nothing_but_its_scheme_is_refused() {
    for scheme in ["sqlite", "file", "s3", "mysql", "postgresql", ""] {
        assert!(
            read_url(scheme, Path::new("/"), stores()).is_err(),
            "{scheme}"
        );
    }
}

#[test]
fn a_file_of_nothing_but_errors_is_told_in_part() {
    for piece in ["x\n", "a.b = 1\n", "= 1\n", "[[task]]\nx = 1\n"] {
        let text = piece.repeat(3_000);
        refused(read_job(text.as_bytes(), &usual()).unwrap_err()).unwrap();
    }
    let lines: Vec<String> = (0..3_000).map(|at| format!("key{at} = 1")).collect();
    let keys = lines.join("\n");
    refused(read_job(keys.as_bytes(), &usual()).unwrap_err()).unwrap();
    let pairs: Vec<String> = (0..2_000).map(|at| format!("k{at} = 1")).collect();
    let text = format!("task = [{{ {}, kind = 1 }}]\n", pairs.join(", "));
    refused(read_job(text.as_bytes(), &usual()).unwrap_err()).unwrap();
}

#[test]
fn a_long_line_of_words_for_secrets_is_looked_at_once() {
    for piece in [
        "pass",
        "key",
        "key=",
        "pass=x&",
        "token=\"",
        "age-secret-key-",
        "secret = [",
        "u:p@",
    ] {
        let line = piece.repeat((1 << 16) / piece.len());
        let document = Document::new(Path::new(PLACE), line);
        assert!(document.at(0..1, "wrong").place.is_some(), "{piece}");
    }
}

#[test]
fn a_duration_is_a_hundred_years_at_the_most() {
    let read = |timeout: &str| {
        let text = format!(
            "from = \"production\"\nto = \"staging\"\ntimeout = \"{timeout}\"\n[[task]]\nkind = \"sqlite\"\nsource = \"sqlite:a.db\"\ntarget = \"sqlite:b.db\"\n"
        );
        read_job(text.as_bytes(), &usual())
    };
    assert!(read("100years").is_ok());
    let all = read("101years").unwrap_err().to_string();
    assert!(all.contains("more than a hundred years"), "{all}");
    assert!(read("500000000000years").is_err());
}
