//! Profiles in the files that Amazon's own tools share (`~/.aws/credentials`, `~/.aws/config`):
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>. Keys that stand there are read; ways to get keys
//! from elsewhere are refused by name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use object_store::aws::AwsCredential;

use crate::error::{Error, Kind, Result, io};

/// What would have to be asked for keys: not done here.
const ELSEWHERE: &[&str] = &[
    "credential_process",
    "credential_source",
    "login_session",
    "role_arn",
    "source_profile",
    "sso_account_id",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// The two files, of which either may be missing.
pub(super) struct Files {
    pub(super) credentials: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
}

/// The settings of a profile.
pub(super) struct Profile {
    pub(super) region: Option<String>,
    /// `endpoint_url`, or that of its `services` for S3.
    pub(super) endpoint: Option<String>,
    pub(super) credential: Option<AwsCredential>,
}

type Settings = BTreeMap<String, String>;

impl Files {
    /// Reads a profile; `None` if neither file has it.
    pub(super) fn profile(&self, name: &str) -> Result<Option<Profile>> {
        let credentials = section(self.credentials.as_deref(), &[name.to_owned()])?;
        // There, only the default one may do without the word.
        let titles = if name == "default" {
            vec!["profile default".to_owned(), name.to_owned()]
        } else {
            vec![format!("profile {name}")]
        };
        let config = section(self.config.as_deref(), &titles)?;
        if credentials.is_none() && config.is_none() {
            return Ok(None);
        }
        let (credentials, config) = (credentials.unwrap_or_default(), config.unwrap_or_default());
        let setting = |key: &str| credentials.get(key).or(config.get(key)).cloned();
        let flawed = |what: String| Err(Error::new(Kind::Config, what));
        let id = setting("aws_access_key_id");
        let secret = setting("aws_secret_access_key");
        let credential = match (id, secret) {
            (Some(key_id), Some(secret_key)) => Some(AwsCredential {
                key_id,
                secret_key,
                token: setting("aws_session_token"),
            }),
            (Some(_), None) => {
                return flawed(format!(
                    "profile `{name}` has an aws_access_key_id and no aws_secret_access_key"
                ));
            }
            (None, Some(_)) => {
                return flawed(format!(
                    "profile `{name}` has an aws_secret_access_key and no aws_access_key_id"
                ));
            }
            (None, None) => {
                if let Some(key) = ELSEWHERE.iter().find(|key| setting(key).is_some()) {
                    return Err(Error::new(
                        Kind::Config,
                        format!("profile `{name}` gets its keys by `{key}`, which is not supported"),
                    )
                    .hint("give envsyncd keys of its own (access_key_id and secret_access_key), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN before it starts"));
                }
                None
            }
        };
        let is_ignored = setting("ignore_configured_endpoint_urls")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mut endpoint = setting("endpoint_url");
        if let Some(services) = setting("services") {
            let services = section(self.config.as_deref(), &[format!("services {services}")])?;
            let of_s3 = services.and_then(|mut one| one.remove("s3.endpoint_url"));
            endpoint = of_s3.or(endpoint);
        }
        Ok(Some(Profile {
            region: setting("region"),
            endpoint: endpoint.filter(|_| !is_ignored),
            credential,
        }))
    }
}

/// The first of these sections that a file has. A file that is not there has none.
fn section(file: Option<&Path>, titles: &[String]) -> Result<Option<Settings>> {
    let Some(file) = file else { return Ok(None) };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("{} cannot be read", file.display());
            return Err(io(what)(error).with_kind(Kind::Config));
        }
    };
    let mut sections = parse(&text);
    Ok(titles.iter().find_map(|title| sections.remove(title)))
}

/// Sections by their titles; a section that stands there twice is one.
pub(super) fn parse(text: &str) -> BTreeMap<String, Settings> {
    let mut sections: BTreeMap<String, Settings> = BTreeMap::new();
    let (mut current, mut above) = (None, String::new());
    for line in text.lines() {
        let start = line.trim_start();
        if start.is_empty() || start.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            let title = title.split(']').next().unwrap_or_default();
            // `[profile "a b"]` is `[profile a b]`.
            let words: Vec<&str> = title.split_whitespace().collect();
            let title = words.join(" ").replace(['"', '\''], "");
            sections.entry(title.clone()).or_default();
            current = Some(title);
        } else if let (Some(title), Some((key, value))) = (&current, line.split_once('=')) {
            let value = [" #", " ;", "\t#", "\t;"]
                .iter()
                .fold(value, |value, mark| {
                    value.split(mark).next().unwrap_or(value)
                })
                .trim();
            let mut key = key.trim().to_lowercase();
            if line.starts_with([' ', '\t']) {
                // What is indented belongs to the key above.
                key = format!("{above}.{key}");
            } else {
                above.clone_from(&key);
            }
            if !value.is_empty() {
                let settings = sections.entry(title.clone()).or_default();
                settings.insert(key, value.to_owned());
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(credentials: &str, config: &str) -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let files = Files {
            credentials: write("credentials", credentials),
            config: write("config", config),
        };
        (directory, files)
    }

    const CREDENTIALS: &str = "# ours\n[default]\naws_access_key_id = ID1\naws_secret_access_key=SE=CRET/1 # old\n\n\
        [other]\naws_access_key_id=ID2\naws_secret_access_key=SECRET2\naws_session_token = TOKEN\n\
        [half]\naws_access_key_id=ID3\n";
    const CONFIG: &str = "[default]\nregion = eu-west-2\ns3 =\n    addressing_style = path\n    region = nowhere\n\
        [profile other]\nregion=eu-west-1\n[profile \"by sso\"]\nsso_session = corporate\nregion = us-west-2\n\
        [profile only-region]\nregion = us-east-2\n[sso-session corporate]\nsso_start_url = x\n\
        [profile r]\nrole_arn = arn\nsource_profile = default\n[other2]\nregion = x\n";

    #[test]
    fn a_profile_is_what_both_files_say_of_it() {
        let (_directory, files) = files(CREDENTIALS, CONFIG);
        let read = |name: &str| files.profile(name).unwrap();
        let default = read("default").unwrap();
        assert_eq!(default.region.as_deref(), Some("eu-west-2"));
        let keys = default.credential.unwrap();
        assert_eq!((&*keys.key_id, &*keys.secret_key), ("ID1", "SE=CRET/1"));
        assert_eq!(keys.token, None);
        let other = read("other").unwrap();
        assert_eq!(other.region.as_deref(), Some("eu-west-1"));
        assert_eq!(other.credential.unwrap().token.as_deref(), Some("TOKEN"));
        let region = read("only-region").unwrap();
        assert!(region.credential.is_none() && region.region.is_some());
        // Without the word `profile` it is none in the second file.
        assert!(read("other2").is_none());
        assert!(read("nobody").is_none());
    }

    #[test]
    fn keys_that_have_to_be_got_elsewhere_are_refused_by_the_settings_name() {
        let (_directory, files) = files(CREDENTIALS, CONFIG);
        for (name, key) in [
            ("by sso", "sso_session"),
            ("r", "role_arn"),
            ("half", "no aws_secret_access_key"),
        ] {
            let error = files.profile(name).err().unwrap().to_string();
            assert!(error.contains(key) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn files_that_are_not_there_have_no_profiles() {
        let gone = Some(PathBuf::from("/nonexistent/credentials"));
        for credentials in [gone, None] {
            let files = Files {
                credentials,
                config: None,
            };
            assert!(files.profile("default").unwrap().is_none());
        }
    }
}
