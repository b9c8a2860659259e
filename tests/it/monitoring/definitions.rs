//! What `packaging/` defines, validated by the programs that it is for.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::icinga::Site;

#[test]
fn icinga2_accepts_the_packaged_definitions_and_makes_a_service_a_job() {
    let site = Site::new();
    // Agents are for configurations in zones.
    let (fine, said) = site.validate(
        "zones.d/localhost",
        "object Host \"db2\" { check_command = \"dummy\"; vars.envsyncd_jobs[\"shop\"] = { }; vars.envsyncd_jobs[\"accounts\"] = { } }\nobject Host \"db3\" { check_command = \"dummy\"; vars.envsyncd_active = true; vars.agent_endpoint = NodeName; vars.envsyncd_jobs[\"shop\"] = { envsyncd_warning = \"2h\" } }",
    );
    assert!(fine && said.contains("Instantiated 3 Services"), "{said}");
    assert!(
        !said.contains("warning/") && !said.contains("critical/"),
        "{said}"
    );
    let (fine, said) = site.validate("conf.d", "object Host \"db2\" { import \"nothing\" }");
    assert!(!fine, "{said}");
}

/// `nagios4 -v` over the packaged definitions and these.
fn nagios(more: &str) -> (bool, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    // It reads them as a user of its own, who may have no way into the repository's directory.
    let packaged = directory.path().join("packaged");
    fs::create_dir(&packaged).expect("a directory");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/nagios");
    for entry in fs::read_dir(ours).expect("the definitions") {
        let entry = entry.expect("the definitions");
        fs::copy(entry.path(), packaged.join(entry.file_name())).expect("a file");
    }
    let objects = file("objects.cfg", more);
    let resource = file("resource.cfg", "$USER1$=/usr/lib/nagios/plugins\n");
    let main = file(
        "nagios.cfg",
        &format!(
            "log_file={}\nillegal_macro_output_chars=`~$&|'\"<>\nresource_file={}\ncfg_file={}\ncfg_dir={}\n",
            directory.path().join("log").display(),
            resource.display(),
            objects.display(),
            packaged.display()
        ),
    );
    let output = Command::new("nagios4")
        .arg("-v")
        .arg(main)
        .output()
        .expect("nagios4");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// What every Nagios has: the packaged definitions build on it.
const USUAL: &str = r"
define timeperiod {
    timeperiod_name  24x7
    alias            always
    sunday           00:00-24:00
}
define contact {
    contact_name                   admin
    host_notification_commands     say
    service_notification_commands  say
    host_notification_period       24x7
    service_notification_period    24x7
}
define command {
    command_name  say
    command_line  /bin/true
}
define service {
    name                 generic-service
    register             0
    check_period         24x7
    notification_period  24x7
    check_interval       10
    retry_interval       2
    max_check_attempts   3
    contacts             admin
}
define host {
    host_name              localhost
    address                127.0.0.1
    max_check_attempts     1
    contacts               admin
    check_period           24x7
    notification_period    24x7
}
";

#[test]
fn nagios_accepts_the_packaged_definitions() {
    let db2 = "define host {\nhost_name db2\naddress 127.0.0.1\nmax_check_attempts 1\ncontacts admin\ncheck_period 24x7\nnotification_period 24x7\n}\n";
    let (fine, said) = nagios(&format!("{USUAL}{db2}"));
    assert!(
        fine && said.contains("Checked 2 services") && said.contains("Total Warnings: 0"),
        "{said}"
    );
    // The one that is told stands on a host that this Nagios does not have.
    let (fine, said) = nagios(USUAL);
    assert!(!fine && said.contains("db2"), "{said}");
}
