//! What is fetched again, and what is not, when a connection is cut in mid-pull.

use super::through_s3::Far;
use crate::support::job::Job;
use crate::support::network::{Fault, Network};
use crate::support::proxy::Proxy;
use crate::support::s3::{S3, shared};
use crate::support::wait_until;

/// What it takes to pull all of this: three tables of about 10 MB each, which are 5 MB each in the archive.
fn pushed(server: &S3) -> Far {
    let far = Far::on(server);
    for table in ["one", "two", "three"] {
        far.scene.source(&format!(
            "CREATE TABLE {table} AS SELECT i, string_agg(md5(random()::text), '') AS filler FROM generate_series(1, 40000) i, generate_series(1, 8) j GROUP BY i"
        ));
    }
    far.scene.once("push", &far.push()).expect(0);
    far
}

/// How often each table's file was sent; and how often of these only from where it was cut.
fn fetched(network: &Network) -> [(usize, usize); 3] {
    ["one.", "two.", "three."].map(|table| network.answered("GET", table))
}

const SUMS: &str = "SELECT count(*), md5(string_agg(filler, ',' ORDER BY i)) FROM one UNION ALL SELECT count(*), md5(string_agg(filler, ',' ORDER BY i)) FROM three ORDER BY 2";

#[test]
fn what_came_before_a_bucket_s_connection_was_cut_is_not_fetched_again() {
    let far = pushed(shared());
    let network = &far.remote.network;
    network.fault("GET", "one.", 1, Fault::CutAnswer(1_000_000));
    network.fault("GET", "two.", 1, Fault::CutAnswer(4_500_000));
    network.fault("GET", "two.", 1, Fault::CutAnswer(100_000));
    far.scene.once("pull", &far.pull()).expect(0);
    assert_eq!(far.scene.live(SUMS), far.scene.source(SUMS));
    assert_eq!(fetched(network), [(2, 1), (3, 2), (1, 0)]);
}

#[test]
fn a_pull_goes_on_where_it_was_once_a_bucket_s_server_is_back() {
    let mut server = S3::start();
    let far = pushed(&server);
    let pull = far.pull().task("throttle = \"8 MiB/s\"").task("jobs = 1");
    let running = far.scene.bed.start(&far.scene.bed.job("pull", &pull));
    wait_until("it copies", || {
        far.scene.bed.path("status/pull.json").exists()
            && far.scene.bed.status("pull")["tasks"][0]["bytes"].as_u64() > Some(0)
    });
    server.stop();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    server.go_on();
    running.end().expect(0);
    assert_eq!(far.scene.live(SUMS), far.scene.source(SUMS));
    for (sent, on) in fetched(&far.remote.network) {
        assert_eq!(sent - on, 1);
    }
}

#[test]
fn a_pull_whose_target_is_cut_off_fails_and_fetches_nothing_more() {
    let far = pushed(shared());
    let target = Proxy::before(&far.scene.pair.target);
    // The first table is in, the second on its way.
    target.stall_after(15_000_000);
    let url = target.url("postgres", &far.scene.to);
    let archive = far.remote.endpoint("secret", "");
    let through = Job::new("postgresql", &archive, &crate::support::job::toml(&url));
    let file = far.scene.bed.job("pull", &through.task("jobs = 1"));
    let running = far.scene.bed.start(&file);
    target.wait_for_stall();
    target.cut();
    running.end().expect(1).says(&["target"]);
    let fetched = fetched(&far.remote.network);
    assert!(
        fetched.iter().all(|(sent, on)| *sent <= 1 && *on == 0),
        "{fetched:?}"
    );
    assert!(fetched.contains(&(0, 0)), "{fetched:?}");
    assert_eq!(far.scene.live("SELECT id, name FROM users"), "9|old");
    let again = far.pull().task("previous = \"drop\"");
    far.scene.once("pull", &again).expect(0);
    far.scene.nothing_is_beside();
}
