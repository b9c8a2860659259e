//! Results that a real Icinga 2 took, read back over its API.

use envsyncd::guard::process::host_name;
use serde_json::Value;

use super::{Shop, failing};
use crate::support::icinga::Icinga;
use crate::support::wait_until;

/// A host with a passive service for `shop`.
const DB2: &str =
    "object Host \"db2\" { check_command = \"dummy\"; vars.envsyncd_jobs[\"shop\"] = { } }";
const SERVICE: &str = "db2!envsyncd shop";

fn output(result: &Value) -> String {
    result["output"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_run_that_succeeds_is_ok_there_and_one_that_fails_is_critical() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    shop.with(|job| job.top("schedule = \"daily\"\ntimeout = \"2h\""));
    shop.once().expect(0);

    let service = icinga.service(SERVICE);
    let result = &service["last_check_result"];
    assert_eq!(result["state"], 0.0, "{result}");
    assert_eq!(service["state_type"], 1.0, "hard at once");
    assert_eq!(result["active"], false);
    assert_eq!(result["check_source"], host_name().as_str());
    let said = output(result);
    assert!(
        said.starts_with("ENVSYNCD OK - shop: ") && said.contains("\nOK shop: last success "),
        "{said}"
    );
    let data: Vec<&str> = result["performance_data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(data.len(), 3, "{data:?}");
    assert!(data[0].starts_with("'shop age'=") && data[0].ends_with("s;100800;187200;0"));
    assert!(data[1].starts_with("'shop duration'=") && data[1].ends_with(";;7200;0"));
    assert!(data[2].starts_with("'shop bytes'=") && data[2].ends_with("B;;;0"));
    // Up to a day until midnight, two hours for the run, one of slack.
    let ttl = result["ttl"].as_f64().expect("a number");
    assert!((3.0 * 3600.0..=27.0 * 3600.0).contains(&ttl), "{ttl}");
    let next = service["next_check"].as_f64().expect("a time");
    let end = result["execution_end"].as_f64().expect("a time");
    assert!((next - end - ttl).abs() < 30.0, "{next} {end} {ttl}");

    shop.with(failing);
    shop.once().expect(1);
    let result = icinga.result(SERVICE);
    assert_eq!(result["state"], 2.0, "{result}");
    let said = output(&result);
    assert!(
        said.starts_with("ENVSYNCD CRITICAL - shop: failed ") && said.contains("maintenance_on"),
        "{said}"
    );
    // Without a schedule, the service's own interval counts.
    assert_eq!(result["ttl"], 0.0);

    // Rolled back: what is live is what was wanted.
    shop.with(|job| job);
    shop.verb(&["rollback", "-f", shop.file()]).expect(0);
    assert_eq!(icinga.result(SERVICE)["state"], 0.0);
}

#[test]
fn what_is_sent_is_what_check_prints() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    shop.with(failing);
    shop.once().expect(1);
    let printed = shop.verb(&["check", "shop"]).expect(2).stdout;
    let (first, details) = printed.trim_end().split_once('\n').expect("details");
    let (first, data) = first.split_once(" | ").expect("performance data");
    let result = icinga.result(SERVICE);
    let sent: Vec<&str> = result["performance_data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // How long ago it was is all that differs.
    let timeless = |text: &str| -> String { text.replace(|c: char| c.is_ascii_digit(), "") };
    assert_eq!(
        timeless(&output(&result)),
        timeless(&format!("{first}\n{details}"))
    );
    assert_eq!(timeless(&sent.join(" ")), timeless(data));
}

#[test]
fn a_certificate_is_as_good_as_a_password() {
    let icinga = Icinga::start(DB2);
    let (certificate, key) = icinga.site().certificate("db2");
    let shop = Shop::new(&format!(
        "[icinga2]\nurl = \"https://localhost:{}\"\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\nhost = \"db2\"\n",
        icinga.port(),
        certificate.display(),
        key.display(),
        icinga.site().ca().display()
    ));
    shop.once().expect(0);
    assert_eq!(icinga.result(SERVICE)["state"], 0.0);
}

#[test]
fn silence_is_critical_when_a_result_is_too_old() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&format!("{}ttl = \"1s\"\n", icinga.settings()));
    shop.once().expect(0);
    wait_until("the dummy spoke", || {
        let result = icinga.result(SERVICE);
        result["active"] == true && result["state"] == 2.0
    });
    let said = output(&icinga.result(SERVICE));
    assert!(said.contains("no new result of envsyncd"), "{said}");
}

#[test]
fn a_freshness_check_during_a_run_does_not_outdate_its_result() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    let (running, gate) = shop.under_way();
    icinga.check(SERVICE);
    wait_until("the dummy spoke", || {
        icinga.result(SERVICE)["active"] == true
    });
    gate.open();
    running.end().expect(0);
    let result = icinga.result(SERVICE);
    assert!(
        result["active"] == false && result["state"] == 0.0,
        "{result}"
    );
}

#[test]
fn a_run_that_died_is_critical_once_it_is_found() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    let (running, gate) = shop.under_way();
    running.kill();
    gate.open();
    shop.verb(&["status"]).expect(0);
    let result = icinga.result(SERVICE);
    assert_eq!(result["state"], 2.0, "{result}");
    let said = output(&result);
    assert!(said.contains("process died during maintenance"), "{said}");
}

#[test]
fn a_job_whose_file_is_broken_is_critical_and_its_dead_run_is_told_as_well() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    let (running, gate) = shop.under_way();
    running.kill();
    gate.open();
    shop.bed.file("shop.toml", "from = 3\n");
    shop.verb(&["status"]).expect(0);
    let said = output(&icinga.result(SERVICE));
    assert!(said.contains("process died during maintenance"), "{said}");
    shop.once().expect(2);
    let result = icinga.result(SERVICE);
    assert_eq!(result["state"], 2.0, "{result}");
    let said = output(&result);
    assert!(
        said.starts_with("ENVSYNCD CRITICAL - shop: refused "),
        "{said}"
    );
}

#[test]
fn an_active_check_runs_the_plugin_with_its_arguments() {
    let shop = Shop::new("");
    shop.once().expect(0);
    let config = shop.bed.path("active.toml");
    std::fs::write(
        &config,
        format!("status_dir = \"{}\"\n", shop.bed.path("status").display()),
    )
    .expect("a file");
    let icinga = Icinga::start(&format!(
        "object Host \"db3\" {{\n check_command = \"dummy\"\n vars.envsyncd_active = true\n vars.envsyncd_jobs[\"shop\"] = {{ envsyncd_config = \"{}\", envsyncd_warning = \"@0:\", envsyncd_critical = \"90h\" }}\n}}",
        config.display()
    ));
    icinga.check("db3!envsyncd shop");
    wait_until("the plugin ran", || {
        !icinga.result("db3!envsyncd shop").is_null()
    });
    let result = icinga.result("db3!envsyncd shop");
    // Any age is a warning: it was asked for.
    assert_eq!(result["state"], 1.0, "{result}");
    let said = output(&result);
    assert!(
        said.starts_with("ENVSYNCD WARNING - shop: last success "),
        "{said}"
    );
    let data = result["performance_data"].to_string();
    assert!(data.contains(";@0:;324000;0"), "{data}");
}

#[test]
fn a_run_that_cannot_be_recorded_is_critical_there() {
    let icinga = Icinga::start(DB2);
    let shop = Shop::new(&icinga.settings());
    let (running, gate) = shop.under_way();
    // Whatever writes there now fails.
    let status = shop.bed.path("status");
    std::fs::rename(&status, shop.bed.path("elsewhere")).expect("a directory");
    std::fs::write(&status, "").expect("a file");
    gate.open();
    running.end().expect(1);
    let result = icinga.result(SERVICE);
    assert_eq!(result["state"], 2.0, "{result}");
    let said = output(&result);
    assert!(
        said.contains("its new data IS live, but this could not be recorded"),
        "{said}"
    );
}
