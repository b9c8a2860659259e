use object_store::CredentialProvider as _;

use super::*;

#[derive(Debug)]
struct Gives(Option<AwsCredential>);

#[async_trait]
impl object_store::CredentialProvider for Gives {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let keys = self.0.as_ref().expect("as the library does");
        Ok(Arc::new(AwsCredential {
            key_id: keys.key_id.clone(),
            secret_key: keys.secret_key.clone(),
            token: keys.token.clone(),
        }))
    }
}

async fn given(keys: Option<AwsCredential>) -> object_store::Result<Arc<AwsCredential>> {
    let checked = Checked::new(Arc::new(Gives(keys)), "the machine's role");
    checked.get_credential().await
}

#[tokio::test]
async fn keys_that_no_request_can_be_made_with_are_an_error_whoever_gives_them() {
    let keys = |id: &str, token: &str| AwsCredential {
        key_id: id.to_owned(),
        secret_key: "any\nthing".to_owned(),
        token: Some(token.to_owned()),
    };
    given(Some(keys("ID", "to+ken/=="))).await.unwrap();
    for bad in [
        keys("ID\n", "token"),
        keys("I D", "token"),
        keys("ID", "tok\r\nen"),
        keys("ID", "tökén"),
        keys("ID", "\u{0}"),
    ] {
        let error = given(Some(bad)).await.unwrap_err().to_string();
        assert!(error.contains("from the machine's role has"), "{error}");
    }
    let error = given(None).await.unwrap_err().to_string();
    assert!(error.contains("no request can be made with"), "{error}");
}

#[tokio::test]
async fn a_region_or_a_url_of_keys_that_no_request_can_be_made_with_is_named() {
    for (name, value) in [
        ("AWS_REGION", "eu/west"),
        ("AWS_REGION", "eu-west-1\n"),
        ("AWS_DEFAULT_REGION", "eu%west"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x\ny"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ":x"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://["),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "file:///etc/passwd"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "localhost"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://a b/"),
        ("AWS_ENDPOINT_URL_STS", "no url"),
    ] {
        let lookup: Lookup = Arc::new(move |asked| match asked {
            asked if asked == name => Some(value.to_owned()),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" => Some("/nonexistent".to_owned()),
            "AWS_WEB_IDENTITY_TOKEN_FILE" | "AWS_ROLE_ARN" if name.ends_with("STS") => {
                Some("/nonexistent".to_owned())
            }
            _ => None,
        });
        let found = Credentials::find(&BucketAccess::default(), "s3://b", &lookup).await;
        let error = found.err().expect(name);
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}
