//! The directory of job files that are not people's, `managed_job_dir`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use envsyncd::state::RunState;

use crate::support::daemon::House;

const JOB: &str = "from = \"production\"\nto = \"staging\"\nschedule = \"* * * * * *\"\n[[task]]\nkind = \"sqlite\"\nsource = \"a\"\ntarget = \"b\"\n";

/// Environments, endpoints and an empty directory; `top` are lines of the settings.
fn house(top: &str) -> House {
    let house = House::new("");
    house.raw_settings(&format!(
        "job_dir = \"jobs\"\n{top}[reboot_lock]\ninhibit = false\n[environments.production]\n[environments.staging]\n\
         parent = \"production\"\n[endpoints.a]\nenvironment = \"production\"\nurl = \"sqlite:source.db\"\n\
         [endpoints.b]\nenvironment = \"staging\"\nurl = \"sqlite:target.db\"\n"
    ));
    fs::create_dir(house.bed.path("managed")).unwrap();
    house.job("other");
    house
}

/// Puts a file there in one step.
fn put(house: &House, name: &str, text: &str) {
    let new = house.bed.path("managed").join(format!(".{name}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
    fs::rename(&new, house.bed.path("managed").join(format!("{name}.toml"))).unwrap();
}

#[test]
fn jobs_of_a_directory_that_a_variable_names_come_run_and_go() {
    let mut house = house("");
    let managed = house.bed.path("managed");
    house.variable("ENVSYNCD_MANAGED_JOB_DIR", managed.to_str().unwrap());
    house.start();
    put(&house, "app", JOB);
    house.until_run("app", RunState::Succeeded);
    // Its last good version is kept, and is read by the same rules as it was.
    put(
        &house,
        "app",
        &format!("{JOB}[hooks]\nafter_publish = [\"/bin/true\"]\n"),
    );
    house.until("its file was broken", |house| {
        let known = house.state().known_job("app").unwrap();
        known.is_some_and(|job| job.problem.contains("hooks run programs"))
    });
    let runs = house.runs(Some("app")).len();
    house.until("its last good version ran", |house| {
        house.runs(Some("app")).len() > runs + 1
    });
    fs::remove_file(managed.join("app.toml")).unwrap();
    house.until("the job was gone", |house| {
        house.state().known_job("app").unwrap().is_none() && house.status("app").is_none()
    });
    assert!(house.state().known_job("other").unwrap().is_some());
    for run in house.runs(Some("app")) {
        assert!(
            !matches!(run.state, RunState::Failed | RunState::Refused),
            "{run:?}"
        );
    }
}

#[test]
fn a_directory_that_is_taken_away_takes_no_job_with_it_and_settings_that_drop_it_do() {
    let mut house = house("managed_job_dir = \"managed\"\n");
    put(&house, "app", JOB);
    house.start();
    house.until_run("app", RunState::Succeeded);
    let (managed, away) = (house.bed.path("managed"), house.bed.path("away"));
    fs::rename(&managed, &away).unwrap();
    house.until_said("all jobs stay as they are");
    house.until("status said so", |house| {
        house.run(&["status"]).stdout.contains("managed_job_dir")
    });
    let runs = house.runs(Some("app")).len();
    house.until("it ran all the same", |house| {
        house.runs(Some("app")).len() > runs + 1
    });
    fs::rename(&away, &managed).unwrap();
    house.until_said("the jobs' directory can be read again");
    let settings = fs::read_to_string(house.config()).unwrap();
    house.raw_settings(&settings.replace("managed_job_dir = \"managed\"\n", ""));
    house.until("the job was gone", |house| {
        house.state().known_job("app").unwrap().is_none()
    });
    assert!(house.state().known_job("other").unwrap().is_some());
}

#[test]
fn a_managed_job_is_one_for_every_verb_and_a_link_to_it_is_none() {
    let mut house = house("managed_job_dir = \"managed\"\n");
    put(
        &house,
        "app",
        &JOB.replace("schedule = \"* * * * * *\"\n", ""),
    );
    house.start();
    house.run(&["trigger", "app", "--wait"]).expect(0);
    house
        .run(&["show", "app"])
        .expect(0)
        .says(&["managed/app.toml"]);
    house.run(&["check", "app"]).expect(0);
    house.run(&["pause", "app", "--reason", "x"]).expect(0);
    house.run(&["resume", "app"]).expect(0);
    let file = house.bed.path("managed/app.toml");
    house.run(&["plan", "-f", file.to_str().unwrap()]).expect(0);
    // A link there is no file.
    symlink(&file, house.bed.path("managed/link.toml")).unwrap();
    house
        .run(&["validate"])
        .expect(2)
        .says(&["link.toml: INVALID", "managed/app.toml: ok"]);
}
