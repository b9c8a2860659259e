//! From this machine to another one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant, SystemTime};

use super::Far;
use crate::files::trees::{Image, inode, lines, named};
use crate::support::job::Job;
use crate::support::{kills, moments, wait_until};

#[test]
fn a_tree_is_sent_and_then_nothing_has_changed() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a/b/c=1", "source/d=22"]);
    fs::create_dir(trees.source("empty")).expect("a directory");
    symlink("a/b", trees.source("link")).expect("a link");
    fs::set_permissions(trees.source("d"), fs::Permissions::from_mode(0o640)).expect("a mode");
    let job = far.pushes().task("verify = \"checksum\"");
    let file = trees.bed.job("app", &job);
    trees.bed.with_file("plan", &file).expect(0);
    assert!(!trees.live("").exists() && !trees.folder("").exists());
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    for path in ["d", "a/b/c", "a/b", "empty", ""] {
        let [one, other] =
            [trees.source(path), trees.live(path)].map(|p| p.metadata().expect("it"));
        let said = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(said(&one), said(&other), "{path}");
    }
    let before = trees.live("").metadata().expect("it").ctime_nsec();
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    assert_eq!(trees.live("").metadata().expect("it").ctime_nsec(), before);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn what_has_changed_alone_is_changed_there() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a/same=1",
        "source/a/new=new",
        "source/file/in=1",
        "source/more/x/y=1",
        "source/link=now a file",
        "live/a/same=1",
        "live/a/new=old",
        "live/file=was a file",
        "live/mine/z=mine",
        "live/gone=old",
    ]);
    symlink("a/same", trees.live("link")).expect("a link");
    let then = trees
        .source("a/same")
        .metadata()
        .expect("it")
        .modified()
        .expect("a time");
    let same = fs::File::options()
        .write(true)
        .open(trees.live("a/same"))
        .expect("a file");
    same.set_modified(then).expect("a time");
    let before = inode(&trees.live("a/same"));
    trees
        .once(&far.pushes().task("verify = \"checksum\""))
        .expect(0);
    let expected = [
        "a/",
        "a/new=new",
        "a/same=1",
        "file/",
        "file/in=1",
        "gone=old",
        "link=now a file",
        "mine/",
        "mine/z=mine",
        "more/",
        "more/x/",
        "more/x/y=1",
    ];
    assert_eq!(trees.in_live(), expected);
    assert_eq!(inode(&trees.live("a/same")), before);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn an_exact_copy_deletes_what_the_source_does_not_have_but_for_what_is_excluded() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a/x=1",
        "source/b=1",
        "source/c=1",
        "live/a/x=0",
        "live/a/old=old",
        "live/dir/deep/er/old=old",
        "live/kept/deep/y.log=mine",
        "live/kept/deep/old=old",
        "live/kept/old/z=old",
    ]);
    let job = far.pushes().task(
        "mode = \"replace\"\nexclude = [\"*.log\"]\nmax_delete = \"90%\"\nverify = \"checksum\"",
    );
    trees.once(&job).expect(0);
    let expected = [
        "a/",
        "a/x=1",
        "b=1",
        "c=1",
        "kept/",
        "kept/deep/",
        "kept/deep/y.log=mine",
    ];
    assert_eq!(trees.in_live(), expected);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn any_name_arrives_there_whatever_a_shell_would_make_of_it() {
    let far = Far::new();
    let trees = &far.trees;
    let live = trees.live("it's $(touch x) `id` \n \"q\" *?[a]\\\n");
    fs::create_dir(trees.live("")).expect("a directory");
    let long = [b'x'; 255];
    let names = [
        &b"line\nfeed"[..],
        b"\xff\xfe",
        b"it's",
        b"$(id)",
        b"-rf",
        b"*",
        b"a b",
        b"\\#012",
        b"\\",
        b"~",
        b"#x",
        b";x",
        b" ",
        b"\t",
        b"a:b",
        b"host:x",
        b"end\n",
        &long,
    ];
    for name in names {
        let directory = named(
            &trees.source(""),
            &[b"d", &name[..name.len().min(200)]].concat(),
        );
        fs::create_dir(&directory).expect("a directory");
        fs::write(named(&directory, name), name).expect("a file");
        fs::write(named(&trees.source(""), name), name).expect("a file");
    }
    let job = far
        .pushes_to(&far.sshd.side(&live))
        .task("mode = \"replace\"\nverify = \"checksum\"\nmax_delete = \"90%\"");
    trees.once(&job).expect(0);
    assert_eq!(lines(&live), lines(&trees.source("")));
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    for name in names {
        let directory = named(
            &trees.source(""),
            &[b"d", &name[..name.len().min(200)]].concat(),
        );
        fs::write(named(&directory, name), "another").expect("a file");
        fs::remove_file(named(&trees.source(""), name)).expect("a file");
    }
    trees.once(&job).expect(0);
    assert_eq!(lines(&live), lines(&trees.source("")));
    assert!(!trees.bed.path("x").exists());
}

#[test]
fn what_is_refused_of_a_directory_here_is_refused_of_one_there() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["live/a=1", "live/b=1", "live/c=1"]);
    let replace = far.pushes().task("mode = \"replace\"");
    trees
        .once(&replace)
        .expect(3)
        .says(&["live would be emptied"]);
    trees.write(&["source/a=1"]);
    let file = trees.bed.job("app", &replace);
    for outcome in [trees.bed.with_file("plan", &file), trees.bed.once(&file)] {
        outcome
            .expect(3)
            .says(&["2 of live's 3 files would be deleted"]);
    }
    trees
        .once(&far.pushes().task("marker = \"m\""))
        .expect(1)
        .says(&["has no file `m`"]);
    let side = |path: &str| far.sshd.side(&trees.source(path));
    fs::create_dir(trees.source("d")).expect("a directory");
    for (from, to) in [("d", ""), ("", "d"), ("", "new"), ("", "")] {
        let job = Job::new("files", &super::here(&trees.source(from)), &side(to));
        trees.once(&job).expect(3);
    }
    assert_eq!(trees.in_live(), ["a=1", "b=1", "c=1"]);
    assert!(trees.source("a").exists());
    let both = Job::new("files", &side(""), &far.sshd.side(&trees.live("")));
    trees
        .once(&both)
        .expect(2)
        .says(&["run envsyncd on one of the two"]);
    trees
        .once(&far.pushes().task("link = \"copy\""))
        .expect(2)
        .says(&["leave `link` out"]);
    let rollback = trees
        .bed
        .with_file("rollback", &trees.bed.job("app", &far.pushes()));
    rollback.expect(1).says(&["there is no previous copy"]);
}

#[test]
fn nothing_is_written_through_a_link_of_live() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/d/file=new",
        "source/e/file=new",
        "outside/file=theirs",
        "live/e/file=old",
    ]);
    symlink(trees.bed.path("outside"), trees.live("d")).expect("a link");
    for options in ["", "mode = \"replace\""] {
        let refused = trees.once(&far.pushes().task(options)).expect(1);
        refused.says(&["d: live has a link where the source has a directory"]);
    }
    fs::remove_file(trees.live("d")).expect("a link");
    fs::create_dir(trees.live("d")).expect("a directory");
    // It comes between what was seen and what is done.
    let script = format!(
        "cd {0} && mv live/d away && ln -s {0}/outside live/d",
        trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let refused = trees.once(&far.pushes().hooks(&hooks)).expect(1);
    refused.says(&["link in the way"]);
    assert_eq!(lines(&trees.bed.path("outside")), ["file=theirs"]);
    assert_eq!(
        fs::read_to_string(trees.live("e/file")).expect("a file"),
        "old"
    );
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn what_was_put_in_place_is_taken_back_if_the_rest_cannot_be() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a=new",
        "source/b/x=new",
        "source/n/y/z=new",
        "source/was=d",
        "source/z/file=new",
        "live/a=old",
        "live/b/x=old",
        "live/gone/g=old",
        "live/z/file=old",
    ]);
    fs::remove_file(trees.source("was")).expect("a file");
    trees.write(&["source/was/in=new", "live/was=a file"]);
    let before = trees.in_live();
    // The last directory is another one by then.
    let script = format!(
        "cd {} && rm live/z/file && mkdir live/z/file",
        trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let job = far
        .pushes()
        .task("mode = \"replace\"\nmax_delete = \"90%\"")
        .hooks(&hooks);
    trees.once(&job).expect(1);
    fs::remove_dir(trees.live("z/file")).expect("a directory");
    trees.write(&["live/z/file=old"]);
    assert_eq!(trees.in_live(), before);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn what_is_excluded_is_left_alone_right_in_the_tree_as_well() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a=1",
        "source/b.log=new and longer",
        "source/d/c.log=new",
        "live/b.log=mine",
        "live/d/c.log=mine",
    ]);
    trees
        .once(
            &far.pushes()
                .task("exclude = [\"*.log\"]\nthrottle = \"10MB/s\""),
        )
        .expect(0);
    assert_eq!(trees.in_live(), ["a=1", "b.log=mine", "d/", "d/c.log=mine"]);
}

#[test]
fn a_folder_of_somebody_else_s_beside_live_is_not_touched() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=1", "live/a=0", "live.envsyncd/theirs=1"]);
    trees
        .once(&far.pushes())
        .expect(3)
        .says(&["does not bear the mark"]);
    assert_eq!(lines(&trees.folder("")), ["theirs=1"]);
    assert_eq!(trees.in_live(), ["a=0"]);
}

#[test]
fn a_run_there_and_one_over_ssh_keep_out_of_each_other_s_way() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=1"]);
    let gate = trees.bed.gate("gate");
    let file = trees
        .bed
        .job("app", &far.pushes().hooks(&gate.maintenance()));
    let mut running = trees.bed.start(&file);
    gate.wait(&mut running);
    let other = Far::new();
    let local = Job::new(
        "files",
        &super::here(&trees.source("")),
        &super::here(&trees.live("")),
    );
    let second = other.trees.bed.job("local", &local);
    other
        .trees
        .bed
        .once(&second)
        .expect(75)
        .says(&["is being written by job app"]);
    let again = other.trees.bed.job("again", &far.pushes());
    other
        .trees
        .bed
        .once(&again)
        .expect(75)
        .says(&["is being written by job app"]);
    gate.open();
    running.end().expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
}

#[test]
fn a_connection_that_is_cut_leaves_live_as_it_was_and_the_next_run_clears_up() {
    let far = Far::new();
    let trees = &far.trees;
    fs::write(trees.source("large"), vec![7; 30 << 20]).expect("a file");
    trees.write(&["live/large=old"]);
    let wire = far.sshd.wire();
    let side = far
        .sshd
        .side_with(&wire.url(&trees.live("")), "key", "known_hosts");
    wire.break_after(10 << 20);
    trees
        .once(&far.pushes_to(&side))
        .expect(1)
        .says(&["127.0.0.1"]);
    assert!(wire.is_broken());
    assert_eq!(trees.in_live(), ["large=old"]);
    far.settles();
    trees.once(&far.pushes()).expect(0);
    assert_eq!(
        fs::read(trees.live("large")).expect("a file").len(),
        30 << 20
    );
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn a_run_that_is_killed_leaves_whole_files_alone_and_the_next_one_ends_its_work() {
    let far = Far::new();
    let trees = &far.trees;
    let content = |n: usize| vec![b'a' + u8::try_from(n % 26).expect("a letter"); 20_000];
    let old = vec![b'-'; 20_000];
    for n in 0..300 {
        for (root, content) in [
            (trees.source(""), content(n)),
            (trees.live(""), old.clone()),
        ] {
            let directory = root.join(format!("d{}", n % 7));
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join(format!("f{n}")), content).expect("a file");
        }
    }
    let file = trees.bed.job("app", &far.pushes());
    let whole = || {
        for n in 0..300 {
            let path = trees.live(&format!("d{}/f{n}", n % 7));
            let found = fs::read(&path).expect("no name is ever away");
            assert!(found == old || found == content(n), "{}", path.display());
        }
    };
    let begun = Instant::now();
    trees.bed.once(&file).expect(0);
    let all = begun.elapsed();
    whole();
    for moment in moments(kills(30), all + Duration::from_millis(100)) {
        for n in 0..300 {
            fs::write(trees.live(&format!("d{}/f{n}", n % 7)), &old).expect("a file");
        }
        let running = trees.bed.start(&file);
        std::thread::sleep(moment);
        running.kill();
        whole();
    }
    // What went on there for a moment has ended with the connection.
    wait_until("the lock is free", || trees.bed.once(&file).code == Some(0));
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    // What was replaced when somebody had written it again meanwhile is kept for people.
    let mut beside = trees.beside();
    beside.retain(|name| !name.starts_with("left-"));
    assert_eq!(beside, Vec::<String>::new());
}

#[test]
fn a_disk_that_is_full_or_read_only_leaves_live_as_it_was() {
    let far = Far::new();
    let trees = &far.trees;
    fs::write(trees.source("large"), vec![7; 3 << 20]).expect("a file");
    let disk = trees.bed.path("disk");
    fs::create_dir(&disk).expect("a directory");
    let mount = |options: &str| {
        let mut command = std::process::Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&disk)
            .status()
            .expect("mount")
    };
    assert!(mount("size=2m").success(), "these tests run as root");
    fs::create_dir(disk.join("live")).expect("a directory");
    let job = far.pushes_to(&far.sshd.side(&disk.join("live")));
    let full = trees.once(&job);
    mount("remount,ro");
    let read_only = trees.once(&job);
    let at_the_mount = trees.once(&far.pushes_to(&far.sshd.side(&disk)));
    let live = lines(&disk.join("live"));
    std::process::Command::new("umount")
        .arg(&disk)
        .status()
        .expect("umount");
    full.expect(1).says(&["MiB are free"]);
    read_only.expect(1);
    at_the_mount.expect(2).says(&["is a mount point"]);
    assert_eq!(live, Vec::<String>::new());
}

#[test]
fn where_times_are_kept_to_the_second_there_what_has_not_changed_is_known() {
    let far = Far::new();
    let trees = &far.trees;
    // ext4 has no room for more in such inodes.
    let _disk = Image::new(&trees.bed.path("disk"), &["-I", "128"]);
    trees.write(&["source/a=1", "source/d/b=1"]);
    let live = trees.bed.path("disk/live");
    let job = far.pushes_to(&far.sshd.side(&live));
    trees.once(&job).expect(0);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    let then = SystemTime::now() + Duration::from_secs(2);
    let file = fs::File::options().write(true).open(trees.source("a"));
    let changed = file.and_then(|mut file| file.write_all(b"2").and(file.set_modified(then)));
    changed.expect("a file");
    trees.once(&job).expect(0);
    assert_eq!(lines(&live), ["a=2", "d/", "d/b=1"]);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    let beside = fs::read_dir(trees.bed.path("disk/live.envsyncd")).expect("it");
    assert_eq!(beside.count(), 2, "mark and lock");
}
