//! Where keys come from. Who gives keys on Amazon's machines is played by a few canned answers, as its manual has them;
//! the keys are those of a real server, which takes them or does not.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use envsyncd::archive::bucket::Bucket;
use envsyncd::config::job::Endpoint;
use envsyncd::error::{Kind, Result};
use envsyncd::store::Lookup;

use super::unique;
use crate::support::postgres::free_port;
use crate::support::s3::{self, KEY, SECRET, patience, shared};

/// An archive of which nothing says who asks.
fn keyless(name: &str) -> Endpoint {
    let mut endpoint = s3::archive(&format!("s3://{name}"), &shared().endpoint(), "", "");
    if let Some(access) = &mut endpoint.access {
        access.access_key_id = None;
        access.secret_access_key = None;
    }
    endpoint
}

fn variables(set: &[(&str, &str)]) -> Lookup {
    let set: HashMap<String, String> = set
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Arc::new(move |name| set.get(name).cloned())
}

async fn folders(endpoint: &Endpoint, set: &[(&str, &str)]) -> Result<Vec<String>> {
    let bucket = Bucket::open_with(endpoint, &variables(set), patience()).await?;
    bucket.folders().await
}

fn bucket() -> Endpoint {
    let name = unique();
    shared().bucket(&name);
    keyless(&name)
}

/// Answers requests whose first line contains a word with a body, and the others with 404; remembers all.
fn somebody(answers: &[(&'static str, String)]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("an address").port();
    let (answers, heard) = (answers.to_vec(), Arc::new(Mutex::new(Vec::new())));
    let hearing = Arc::clone(&heard);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut reader = BufReader::new(&client);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head += &line;
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let first = head.lines().next().unwrap_or_default();
            let (status, answer) = match answers.iter().find(|(word, _)| first.contains(word)) {
                Some((_, answer)) => ("200 OK", answer.as_str()),
                None => ("404 Not Found", ""),
            };
            hearing.lock().expect("no panic").push(head);
            let _ = write!(
                &client,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            );
        }
    });
    (port, heard)
}

fn keys_as_json() -> String {
    format!(
        r#"{{"Code": "Success", "AccessKeyId": "{KEY}", "SecretAccessKey": "{SECRET}", "Token": "token-1", "Expiration": "2099-01-01T00:00:00Z"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_environment_and_of_a_profile_are_used_in_their_order() {
    let endpoint = bucket();
    let home = tempfile::tempdir().expect("a directory");
    let aws = home.path().join(".aws");
    std::fs::create_dir(&aws).expect("a directory");
    let text = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n\
         [ours]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n\
         [sso]\nsso_session = corporate\n"
    );
    std::fs::write(aws.join("credentials"), text).expect("a file");
    let home = home.path().to_str().expect("text");
    let ours = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut set = vec![("HOME", home)];
        set.extend_from_slice(more);
        set
    };
    assert!(
        folders(&endpoint, &with(&ours))
            .await
            .expect("keys")
            .is_empty()
    );
    assert!(
        folders(&endpoint, &with(&[("AWS_PROFILE", "ours")]))
            .await
            .expect("keys")
            .is_empty()
    );
    let error = folders(&endpoint, &with(&[])).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("does not know the access key") && text.contains("profile `default`"),
        "{text}"
    );
    let error = folders(&endpoint, &with(&[("AWS_PROFILE", "sso")]))
        .await
        .unwrap_err();
    assert!(
        error.kind() == Kind::Config && error.to_string().contains("sso_session"),
        "{error}"
    );
    let error = folders(&endpoint, &with(&[("AWS_PROFILE", "never")]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no profile `never`"), "{error}");
    let error = folders(&endpoint, &with(&ours[..1])).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("AWS_SECRET_ACCESS_KEY is missing"),
        "{error}"
    );
    // A profile that the archive names goes before the environment.
    let mut named = endpoint.clone();
    if let Some(access) = &mut named.access {
        access.profile = Some("ours".to_owned());
    }
    let wrong = [
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ];
    assert!(
        folders(&named, &with(&wrong))
            .await
            .expect("keys")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_is_changed_for_keys_and_its_token_is_never_shown() {
    let endpoint = bucket();
    let home = tempfile::tempdir().expect("a directory");
    let token = home.path().join("token");
    std::fs::write(&token, "very-secret-token").expect("a file");
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <SessionToken>token-1</SessionToken><SecretAccessKey>{SECRET}</SecretAccessKey>\
         <Expiration>2099-01-01T00:00:00Z</Expiration><AccessKeyId>{KEY}</AccessKeyId>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    let (port, heard) = somebody(&[("AssumeRoleWithWebIdentity", answer)]);
    let service = format!("http://127.0.0.1:{port}");
    let token = token.to_str().expect("text");
    let set = |service: &'static str| {
        [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_ENDPOINT_URL_STS", service),
        ]
    };
    let service: &'static str = service.leak();
    assert!(
        folders(&endpoint, &set(service))
            .await
            .expect("keys")
            .is_empty()
    );
    let heard = heard.lock().expect("no panic").join("");
    assert!(heard.contains("very-secret-token"), "{heard}");
    let (port, _) = somebody(&[]);
    let refusing: &'static str = format!("http://127.0.0.1:{port}").leak();
    let gone: &'static str = format!("http://127.0.0.1:{}", free_port()).leak();
    for service in [refusing, gone] {
        let error = folders(&endpoint, &set(service)).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no credentials") && text.contains("web identity"),
            "{text}"
        );
        assert!(!text.contains("very-secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_or_a_pod_with_a_role_has_keys_and_one_without_says_so_soon() {
    let endpoint = bucket();
    let (port, heard) = somebody(&[
        ("PUT /latest/api/token", "session".to_owned()),
        ("security-credentials/ ", "the-role".to_owned()),
        ("security-credentials/the-role", keys_as_json()),
    ]);
    let service = format!("http://127.0.0.1:{port}/");
    let set = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.as_str())];
    assert!(folders(&endpoint, &set).await.expect("keys").is_empty());
    assert_eq!(heard.lock().expect("no panic").len(), 3);

    let home = tempfile::tempdir().expect("a directory");
    let token = home.path().join("token");
    std::fs::write(&token, "pod-token").expect("a file");
    let (port, heard) = somebody(&[("GET /keys", keys_as_json())]);
    let url = format!("http://127.0.0.1:{port}/keys");
    let set = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().expect("text"),
        ),
    ];
    assert!(folders(&endpoint, &set).await.expect("keys").is_empty());
    assert!(heard.lock().expect("no panic")[0].contains("pod-token"));
    let set = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://evil.example/keys",
        ),
        set[1],
    ];
    let error = folders(&endpoint, &set).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("neither https:// nor of this machine"),
        "{error}"
    );

    let gone = format!("http://127.0.0.1:{}", free_port());
    let begun = std::time::Instant::now();
    for set in [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", gone.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        let error = folders(&endpoint, &[set]).await.unwrap_err().to_string();
        assert!(
            error.contains("there are no credentials for s3://"),
            "{error}"
        );
        assert!(error.contains("access_key_id"), "{error}");
    }
    // And not only after all the patience that there is for a bucket's server.
    assert!(begun.elapsed() < patience().total / 2);
}

/// An archive of which nothing says what server it is on.
fn serverless(mut endpoint: Endpoint) -> Endpoint {
    if let Some(access) = &mut endpoint.access {
        access.endpoint = None;
    }
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_stands_beside_the_keys_is_the_one_that_is_asked() {
    let endpoint = serverless(bucket());
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("config");
    let (right, wrong) = (
        shared().endpoint(),
        format!("http://127.0.0.1:{}", free_port()),
    );
    let text = format!(
        "[default]\nendpoint_url = {right}\n[profile by-service]\nendpoint_url = {wrong}\nservices = ours\n\
         [services ours]\ns3 =\n  endpoint_url = {right}\ndynamodb =\n  endpoint_url = {wrong}\n\
         [profile elsewhere]\nendpoint_url = {wrong}\n"
    );
    let text = text.replace(
        "endpoint_url = http",
        &format!(
            "aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\nendpoint_url = http"
        ),
    );
    // Keys belong to a profile, and not to a service.
    let text = text.replace(
        &format!("  aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\nendpoint_url"),
        "  endpoint_url",
    );
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("text");
    let keys = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let (right, wrong) = (right.as_str(), wrong.as_str());
    for set in [
        vec![("AWS_ENDPOINT_URL", right), keys[0], keys[1]],
        vec![
            ("AWS_ENDPOINT_URL", wrong),
            ("AWS_ENDPOINT_URL_S3", right),
            keys[0],
            keys[1],
        ],
        vec![("AWS_CONFIG_FILE", config)],
        vec![("AWS_CONFIG_FILE", config), ("AWS_PROFILE", "by-service")],
        vec![
            ("AWS_CONFIG_FILE", config),
            ("AWS_PROFILE", "elsewhere"),
            ("AWS_ENDPOINT_URL", right),
        ],
    ] {
        let found = folders(&endpoint, &set).await;
        assert!(found.expect("the right server").is_empty(), "{set:?}");
    }
    let set = [("AWS_CONFIG_FILE", config), ("AWS_PROFILE", "elsewhere")];
    let error = folders(&endpoint, &set).await.unwrap_err();
    assert!(error.to_string().contains(wrong), "{error}");
    // What the job says is stronger.
    let mut named = endpoint.clone();
    if let Some(access) = &mut named.access {
        access.endpoint = Some(right.to_owned());
    }
    let set = [("AWS_ENDPOINT_URL", wrong), keys[0], keys[1]];
    assert!(folders(&named, &set).await.expect("the job's").is_empty());
    let set = [("AWS_ENDPOINT_URL", "ftp://x"), keys[0], keys[1]];
    let error = folders(&endpoint, &set).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_by_its_name_and_not_repeated() {
    let endpoint = bucket();
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "tok3n\n").expect("a file");
    let token = token.path().to_str().expect("text");
    for (set, name) in [
        (
            vec![
                ("AWS_REGION", "eu-w3st-1\n"),
                ("AWS_ACCESS_KEY_ID", KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
            ],
            "AWS_REGION",
        ),
        (
            vec![
                ("AWS_ACCESS_KEY_ID", "id3\n"),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
            ],
            "access key's id",
        ),
        (
            vec![
                ("AWS_ACCESS_KEY_ID", KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
                ("AWS_SESSION_TOKEN", "tok3n\n"),
            ],
            "token",
        ),
        (
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
            ],
            token,
        ),
    ] {
        let error = folders(&endpoint, &set).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Config, "{text}");
        assert!(
            text.contains(name) && text.contains("a line break"),
            "{text}"
        );
        assert!(!text.contains("tok3n") && !text.contains("id3"), "{text}");
    }
    let mut by_name = bucket();
    if let Some(access) = &mut by_name.access {
        access.path_style = Some(false);
    }
    let keys = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let error = folders(&by_name, &keys).await.unwrap_err().to_string();
    assert!(error.contains("before an IP address"), "{error}");
}
