//! Dumps that a push writes with the tools.

use super::*;

#[test]
fn a_push_s_dump_is_what_the_store_s_own_client_restores_and_a_pull_too() {
    let scene = Scene::empty();
    everything(&scene);
    let (dump, rows) = run(push(&scene, &exact(&scene))).expect("a push");
    let text = String::from_utf8_lossy(&dump);
    assert!(
        text.trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("-- Dump completed"))
    );
    let there = scene.source.rows(&scene.from).len() as u64;
    assert!(rows >= there, "{rows} of {there}");
    run(pull(&scene, &exact(&scene), pieces(dump.clone(), 4096))).expect("a pull");
    scene.assert_same();
    // The client alone fails at a view with a CHECK OPTION whose own view comes behind it, and at a default of a sequence,
    // which names the database.
    scene.source("DROP VIEW m_middle, `a ``top`, z_base; DROP TABLE numbered");
    let (dump, _) = run(push(&scene, &exact(&scene))).expect("a push");
    let by_hand = format!("{}_by_hand", scene.to);
    scene.target.create_db(&by_hand);
    let file = scene.bed.file("dump.sql", "");
    std::fs::write(&file, &dump).expect("a file");
    Command::new("mariadb")
        .args(["--no-defaults", "--user=root", "--binary-mode"])
        .arg(format!("--socket={}", scene.target.socket().display()))
        .arg(&by_hand)
        .stdin(std::fs::File::open(&file).expect("a file"))
        .must("mariadb");
    assert_eq!(scene.target.rows(&by_hand), scene.source.rows(&scene.from));
}

#[test]
fn a_push_leaves_out_what_it_shall() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE `cache.one` (a int PRIMARY KEY); INSERT INTO `cache.one` VALUES (1);
         CREATE TABLE audit (id int AUTO_INCREMENT PRIMARY KEY, what text); INSERT INTO audit (what) VALUES ('a'), ('b');
         CREATE VIEW cache_view AS SELECT * FROM users; CREATE SEQUENCE cache_numbers;
         CREATE TABLE soon_gone (a int); CREATE VIEW broken AS SELECT a FROM soon_gone; DROP TABLE soon_gone;",
    );
    let job = scene
        .job()
        .task("exclude = [\"cache*\"]")
        .task("schema_only = [\"audit\"]");
    let (dump, rows) = run(push(&scene, &job)).expect("a push");
    assert_eq!(rows, 700);
    let text = String::from_utf8_lossy(&dump);
    assert!(text.contains("CREATE TABLE `audit`") && !text.contains("INSERT INTO `audit`"));
    assert!(
        !text.contains("cache") && !text.contains("broken"),
        "{text}"
    );
    run(pull(&scene, &scene.job(), pieces(dump, 4096))).expect("a pull");
    scene.live_is_new();
    assert_eq!(scene.live("SELECT count(*) FROM audit"), "0");
}

#[test]
fn a_push_by_a_user_with_an_odd_password_shows_it_to_nobody() {
    let scene = Scene::new();
    let (dump, rows) = run(push(&scene, &scene.modest_job())).expect("a push");
    assert_eq!(rows, 700);
    run(pull(&scene, &scene.modest_job(), pieces(dump, 4096))).expect("a pull");
    scene.live_is_new();
}

#[test]
fn a_tool_that_loses_the_server_in_mid_dump_makes_no_dump() {
    let server = Server::with(&[]);
    let scene = Scene::on(&server, &shared().target);
    scene.source(super::super::BIG);
    run(async {
        let (task, context) = order(&scene, "push", &scene.job());
        let source = store::registry::open_source(&task, &context)
            .await
            .expect("a source");
        let survey = source.survey(&Taker::Archive).await.expect("a survey");
        let dumping = dumps(task.kind)
            .expect("dumps")
            .dump(&task, &context, &*source, &survey)
            .await
            .expect("it starts");
        let mut bytes = dumping.bytes;
        bytes.next().await.expect("bytes").expect("good ones");
        let ids = server.sql(
            "",
            "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT /*!40001%' AND id <> CONNECTION_ID()",
        );
        assert_eq!(ids.lines().count(), 1, "{ids}");
        server.sql("", &format!("KILL {ids}"));
        let rest: Result<Vec<Bytes>> = bytes.try_collect().await;
        let error = refused(rest).to_string();
        assert!(error.contains("mariadb-dump failed"), "{error}");
        source.close().await;
    });
}

#[test]
fn rows_that_come_between_the_survey_and_the_dump_are_no_error() {
    let scene = Scene::new();
    scene.source(super::super::BIG);
    run(async {
        let (task, context) = order(&scene, "push", &scene.job());
        let source = store::registry::open_source(&task, &context)
            .await
            .expect("a source");
        let survey = source.survey(&Taker::Archive).await.expect("a survey");
        // Between the survey's point in time and the tool's.
        scene.source("INSERT INTO users VALUES (201, 'new'); DELETE FROM orders WHERE id = 1");
        let dumping = dumps(task.kind)
            .expect("dumps")
            .dump(&task, &context, &*source, &survey)
            .await
            .expect("it starts");
        let all: Result<Vec<Bytes>> = dumping.bytes.try_collect().await;
        all.expect("a dump");
        {
            let rows = dumping.rows.lock();
            assert_eq!(
                (rows["users"], rows["orders"], rows["big"]),
                (201, 499, 40_000)
            );
        }
        source.close().await;
    });
}
