//! Pulls that are published in place.

use std::fs;

use super::Scene;

const IN_PLACE: &str = "publish = \"in_place\"";

#[test]
fn a_pull_in_place_loads_live_from_the_archive() {
    let scene = Scene::of_this_test();
    scene.source(
        "CREATE VIEW names AS SELECT name FROM users; CREATE INDEX by_name ON users (name)",
    );
    scene
        .once("push", &scene.push().task("verify = \"checksum\""))
        .expect(0);
    scene.live("CREATE TABLE only_live (a int)");
    let pull = scene.pull().task(IN_PLACE).task("verify = \"checksum\"");
    let file = scene.bed.job("pull", &pull);
    scene.bed.with_file("plan", &file).expect(0);
    scene.live_is_old();
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    scene.nothing_is_beside();
    let relations = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(scene.live(relations), scene.source(relations));
}

#[test]
fn what_can_be_refused_is_refused_before_live_is_emptied_in_place() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    let folder = scene.snapshots().remove(0);
    let path = folder.join("manifest.json");
    let honest = fs::read_to_string(&path).unwrap();
    fs::write(&path, honest.replace("\"version\": 1", "\"version\": 3")).unwrap();
    scene
        .once("pull", &scene.pull().task(IN_PLACE))
        .expect(1)
        .says(&["upgrade envsyncd"]);
    scene.live_is_old();
    fs::write(&path, honest).unwrap();
    // Rows are looked at while they are loaded: nobody has room for two copies here.
    let rows = fs::read_dir(folder.join("rows"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let good = fs::read(&rows).unwrap();
    fs::write(&rows, &good[..good.len() - 1]).unwrap();
    let file = scene.bed.job("pull", &scene.pull().task(IN_PLACE));
    scene
        .bed
        .once(&file)
        .expect(1)
        .says(&["LIVE IS BROKEN", "it ends after"]);
    fs::write(&rows, good).unwrap();
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
}
