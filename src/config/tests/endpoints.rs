//! Environments and endpoints of a job beside those of the host.

use super::*;
use crate::policy::RequireMasks;

#[test]
fn a_job_cannot_loosen_the_hosts_policy() {
    let with = |environments: &str| wrong_job(&format!("{}{environments}", job_with("", "")));
    let text = with("[environments.staging]\nparent = \"integration\"\n");
    assert!(
        text.contains("two parents") && text.contains("key: environments.staging.parent"),
        "{text}"
    );
    assert!(with("[environments.production]\nparent = \"staging\"\n").contains("two parents"));
    assert!(with("[environments.staging]\n").contains("two parents"));
    let text = with("[environments.integration]\nparent = \"staging\"\nrequire_masks = false\n");
    assert!(text.contains("a job cannot turn that off"), "{text}");
    assert!(with("[environments.staging]\nparent = [\"production\"]\n").contains("one parent"));

    let same = "[environments.integration]\nparent = \"staging\"\n[environments.local]\nparent = \"staging\"\nrequire_masks = true\n";
    let (job, _) = Files::new()
        .job(ENVIRONMENTS, &format!("{}{same}", job_with("", "")))
        .unwrap();
    for name in ["integration", "local"] {
        let rules = job.environments.get(&Environment::new(name)).unwrap();
        assert_eq!(rules.require_masks, RequireMasks::Every, "{name}");
    }
}

#[test]
fn masks_are_required_of_all_columns_of_those_that_look_personal_or_of_none() {
    let with = |value: &str| {
        let settings = format!(
            "[environments.production]\n[environments.staging]\nparent = \"production\"\nrequire_masks = {value}\n"
        );
        Files::new()
            .job(&settings, &job_with("", ""))
            .map(|(job, _)| {
                job.environments
                    .get(&Environment::new("staging"))
                    .unwrap()
                    .require_masks
            })
    };
    assert_eq!(with("\"detected\"").unwrap(), RequireMasks::Detected);
    assert_eq!(with("true").unwrap(), RequireMasks::Every);
    assert_eq!(with("false").unwrap(), RequireMasks::No);
    let wrong = "[environments.staging]\nrequire_masks = \"all\"\n";
    let wrong = Files::new().settings(wrong).unwrap_err().to_string();
    assert!(
        wrong.contains("allowed: true | false | \"detected\""),
        "{wrong}"
    );
    // A job asks for more, and never for less.
    let settings = "[environments.production]\n[environments.staging]\nparent = \"production\"\nrequire_masks = \"detected\"\n";
    let job = |value: &str| {
        let more =
            format!("[environments.staging]\nparent = \"production\"\nrequire_masks = {value}\n");
        Files::new().job(settings, &format!("{}{more}", job_with("", "")))
    };
    let (more, _) = job("true").unwrap();
    assert_eq!(
        more.environments
            .get(&Environment::new("staging"))
            .unwrap()
            .require_masks,
        RequireMasks::Every
    );
    assert!(
        job("false")
            .unwrap_err()
            .to_string()
            .contains("a job cannot turn that off")
    );
}

#[test]
fn an_endpoint_serves_its_own_environment_only() {
    let settings = format!(
        "{ENVIRONMENTS}[endpoints.live]\nenvironment = \"production\"\nurl = \"postgresql://o@DB1:5432/x\"\n"
    );
    let job = |source: &str, target: &str| {
        let text = format!(
            "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"postgresql\"\nsource = \"{source}\"\ntarget = \"{target}\"\n"
        );
        match Files::new().job(&settings, &text) {
            Ok(_) => String::new(),
            Err(all) => all.to_string(),
        }
    };
    assert_eq!(job("live", "postgresql://u@db2/x"), "");
    let text = job("postgresql://u@db2/x", "live");
    assert!(
        text.contains("endpoint `live` is of `production`, but the job's `to` is `staging`"),
        "{text}"
    );
    // By another spelling.
    let text = job(
        "postgresql://u@db2/x",
        "postgresql://other@db1/x?sslmode=disable",
    );
    assert!(text.contains("this URL is endpoint `live`"), "{text}");
    let text = job("life", "postgresql://u@db2/x");
    assert!(text.contains("did you mean `live`?"), "{text}");

    let text = format!(
        "{}[endpoints.live]\nenvironment = \"staging\"\nurl = \"sqlite:x.db\"\n",
        job_with("", "")
    );
    let text = Files::new().job(&settings, &text).unwrap_err().to_string();
    assert!(text.contains("is in envsyncd.toml already"), "{text}");
}
