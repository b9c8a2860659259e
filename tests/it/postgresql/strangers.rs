//! What is somebody else's: databases whose names are such as a run uses, and sources that a run would replace.

use super::Scene;
use crate::support::job::Job;
use crate::support::postgres::quote;

fn comment(scene: &Scene<'_>, database: &str) -> String {
    let query = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
    );
    scene.target.psql("postgres", &query)
}

#[test]
fn a_previous_that_nobody_of_ours_made_is_named_and_neither_dropped_nor_swapped_in() {
    let scene = Scene::new();
    let previous = format!("{}_previous", scene.to);
    scene.target.create_db(&previous);
    scene
        .target
        .psql(&previous, "CREATE TABLE precious (a int)");
    let swap = scene.write(&scene.job());
    for verb in ["plan", "run", "rollback"] {
        let outcome = scene.bed.with_file(verb, &swap);
        outcome.expect(3).says(&[&previous, "COMMENT ON DATABASE"]);
    }
    let in_place = scene.write(&scene.job().task("publish = \"in_place\""));
    scene.bed.once(&in_place).expect(3).says(&[&previous]);
    scene.live_is_old();
    assert_eq!(scene.beside_live(), [previous.as_str()]);
    let there = scene
        .target
        .psql(&previous, "SELECT count(*) FROM precious");
    assert_eq!(there, "0");
    // What an older version made is taken over as the advice says.
    let adopt = format!(
        "COMMENT ON DATABASE {} IS 'envsyncd: previous'",
        quote(&previous)
    );
    scene.target.psql("postgres", &adopt);
    let swap = scene.write(&scene.job());
    scene.bed.once(&swap).expect(0);
    scene.live_is_new();
    scene.bed.with_file("rollback", &swap).expect(0);
    scene.live_is_old();
}

#[test]
fn a_previous_that_appears_during_the_run_stops_the_publish() {
    let scene = Scene::new();
    let previous = format!("{}_previous", scene.to);
    let gate = scene.bed.gate("on");
    let job = scene.job().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    scene.target.create_db(&previous);
    gate.open();
    running.end().expect(3).says(&[&previous]);
    scene.live_is_old();
    assert_eq!(scene.beside_live(), [previous]);
}

#[test]
fn a_leftover_without_a_mark_is_refused_and_one_with_it_is_swept() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    for middle in ["incoming", "discarded", "emptied", "staging"] {
        let database = format!("{}_{middle}_0123456789ab", scene.to);
        scene.target.create_db(&database);
        for verb in ["plan", "run"] {
            let outcome = scene.bed.with_file(verb, &file);
            outcome.expect(3).says(&[&database, "DROP DATABASE"]);
        }
        assert_eq!(scene.beside_live(), [database.as_str()]);
        scene
            .target
            .psql("postgres", &format!("DROP DATABASE {}", quote(&database)));
    }
    scene.live_is_old();
    // A run that died at once after it made its incoming, and one that died later.
    let names = [
        format!("{}_incoming_0123456789ab", scene.to),
        format!("{}_incoming_0123456789ac", scene.to),
    ];
    let [young, old] = [quote(&names[0]), quote(&names[1])];
    scene.target.psql(
        "postgres",
        &format!("CREATE DATABASE {young} CONNECTION LIMIT 1701738099"),
    );
    scene
        .target
        .psql("postgres", &format!("CREATE DATABASE {old}"));
    scene.target.psql(
        "postgres",
        &format!("COMMENT ON DATABASE {old} IS 'envsyncd: incoming of x; job j, run r, since s'"),
    );
    scene
        .bed
        .once(&file)
        .expect(0)
        .says(&[&names[0], &names[1]]);
    scene.live_is_new();
    assert_eq!(scene.beside_live(), [format!("{}_previous", scene.to)]);
}

#[test]
fn a_source_that_a_run_would_replace_is_refused() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    let previous = format!("{}_previous", scene.to);
    let back = Job::between(
        "postgresql",
        &scene.target.url("postgres", &previous),
        &scene.target.url("postgres", &scene.to),
    );
    let file = scene.write(&back);
    for verb in ["plan", "run"] {
        let outcome = scene.bed.with_file(verb, &file);
        outcome.expect(3).says(&["would be replaced", "rollback"]);
    }
    scene.live_is_new();
    let old = scene.target.psql(&previous, "SELECT email FROM users");
    assert_eq!(old, "old");
    // A dead run's, too.
    let incoming = format!("{}_incoming_0123456789ab", scene.to);
    let name = quote(&incoming);
    scene
        .target
        .psql("postgres", &format!("CREATE DATABASE {name}"));
    let mark =
        format!("COMMENT ON DATABASE {name} IS 'envsyncd: incoming of x; job j, run r, since s'");
    scene.target.psql("postgres", &mark);
    let from = scene.target.url("postgres", &incoming);
    let job = Job::between(
        "postgresql",
        &from,
        &scene.target.url("postgres", &scene.to),
    );
    let outcome = scene.bed.once(&scene.write(&job));
    outcome.expect(3).says(&["would be replaced"]);
    assert!(scene.beside_live().contains(&incoming));
}

#[test]
fn only_what_is_not_live_bears_a_mark_with_job_run_and_time() {
    let scene = Scene::new();
    let previous = format!("{}_previous", scene.to);
    let gate = scene.bed.gate("on");
    let job = scene.job().hooks(&gate.maintenance());
    let file = scene.write(&job);
    let mut running = scene.bed.start(&file);
    gate.wait(&mut running);
    let incoming = comment(&scene, &scene.beside_live()[0]);
    assert!(
        incoming.starts_with(&format!(
            "envsyncd: incoming of {}; job app, run ",
            scene.to
        )),
        "{incoming}"
    );
    gate.open();
    running.end().expect(0);
    assert_eq!(comment(&scene, &scene.to), "");
    let said = comment(&scene, &previous);
    assert!(said.starts_with("envsyncd: previous of "), "{said}");
    assert!(said.contains(", since 20"), "{said}");
    // A comment that comes meanwhile is live's, and is carried over; each keeps its own on the way back.
    let to = quote(&scene.to);
    let comment_on = format!("COMMENT ON DATABASE {to} IS 'ours\nin two lines'");
    scene.target.psql("postgres", &comment_on);
    let swap = scene.write(&scene.job());
    scene.bed.once(&swap).expect(0);
    assert_eq!(comment(&scene, &scene.to), "ours\nin two lines");
    scene.bed.with_file("rollback", &swap).expect(0);
    assert_eq!(comment(&scene, &scene.to), "ours\nin two lines");
    let said = comment(&scene, &previous);
    assert!(said.starts_with("envsyncd: previous of "), "{said}");
    assert!(said.ends_with("\nours\nin two lines"), "{said}");
}

#[test]
fn a_publish_that_is_undone_leaves_live_s_comment_and_previous_as_they_were() {
    let (scene, other) = (Scene::new(), Scene::new());
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let (to, previous) = (quote(&scene.to), format!("{}_previous", scene.to));
    let ours = format!("COMMENT ON DATABASE {to} IS 'ours'");
    scene.target.psql("postgres", &ours);
    let before = comment(&scene, &previous);
    let gate = scene.bed.gate("on");
    // The second task finds somebody else's database in its way, when the first is published.
    let second = format!(
        "[[task]]\nname = \"second\"\nkind = \"postgresql\"\nsource = \"{}\"\ntarget = \"{}\"\n[environments.production]",
        other.source.url("postgres", &other.from),
        other.target.url("postgres", &other.to)
    );
    let job = scene.job().hooks(&gate.maintenance()).to_string();
    let file = scene.bed.file(
        "app.toml",
        &job.replacen("[environments.production]", &second, 1),
    );
    let mut running = scene.bed.start(&file);
    gate.wait(&mut running);
    let stranger = format!("{}_previous", other.to);
    other.target.create_db(&stranger);
    gate.open();
    running.end().expect(3).says(&[&stranger]);
    scene.live_is_new();
    other.live_is_old();
    assert_eq!(comment(&scene, &scene.to), "ours");
    assert_eq!(comment(&scene, &previous), before);
    assert_eq!(scene.beside_live(), [previous]);
    assert_eq!(other.beside_live(), [stranger]);
}
