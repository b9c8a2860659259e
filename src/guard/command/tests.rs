use super::output::{BYTES, LINE, LINES, TAIL};
use super::*;
use crate::guard::process::Process;

fn hook(argv: &[&str], timeout: Option<Duration>) -> Hook {
    Hook {
        argv: argv.iter().map(ToString::to_string).collect(),
        timeout,
    }
}

async fn sh(script: &str, timeout: Option<Duration>) -> Result<()> {
    run(
        &hook(&["/bin/sh", "-c", script], timeout),
        "maintenance_on",
        |_| {},
        &[],
        None,
    )
    .await
}

/// The process whose id a script wrote to this file.
async fn written(file: &std::path::Path) -> Process {
    loop {
        if let Ok(text) = std::fs::read_to_string(file)
            && text.ends_with('\n')
        {
            return Process::of(text.trim().parse().unwrap()).expect("it runs");
        }
        tokio::task::yield_now().await;
    }
}

async fn gone(process: &Process) {
    while process.is_alive() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn arguments_and_environment_arrive_without_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let argv = [
        "/bin/sh",
        "-c",
        "printf '%s|%s|%s' \"$1\" \"$A\" \"$B\" > \"$0\"",
        out.to_str().unwrap(),
        "$(id) *",
    ];
    run(
        &hook(&argv, None),
        "x",
        |command| {
            command.env("A", "one").env("B", "lost");
        },
        &[("B", "two")],
        None,
    )
    .await
    .unwrap();
    assert_eq!(std::fs::read_to_string(out).unwrap(), "$(id) *|one|two");
}

#[tokio::test]
async fn a_failure_names_the_program_its_exit_code_and_its_last_words() {
    let error = sh(
        "echo first >&2; echo no such site >&2; echo fine; exit 3",
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Hook);
    assert_eq!(
        error.to_string(),
        "hook maintenance_on (`/bin/sh`) ended with exit code 3: no such site"
    );
}

#[tokio::test]
async fn a_program_that_a_sigterm_ended_is_told_by_how_it_ended_and_not_by_what_it_said() {
    let by_signal = sh("kill -TERM $$", None).await.unwrap_err();
    assert_eq!(
        by_signal.to_string(),
        "hook maintenance_on (`/bin/sh`) was ended by signal SIGTERM"
    );
    let in_shell = sh("sh -c 'kill -TERM $$'; exit $?", None)
        .await
        .unwrap_err();
    assert!(in_shell.to_string().contains("ended with exit code 143"));
    let carried = Error::new(Kind::Io, "the dump cannot be written");
    let carried = carried.because(std::io::Error::other(
        sh("kill -TERM $$", None).await.unwrap_err(),
    ));
    for error in [by_signal, in_shell, carried] {
        assert!(was_terminated(&error.within("task database")));
    }
    let says_so = "echo was ended by signal SIGTERM, ended with exit code 143 >&2; exit 3";
    for error in [
        sh(says_so, None).await.unwrap_err(),
        sh("kill -KILL $$", None).await.unwrap_err(),
        sh("sleep 60", Some(Duration::from_millis(50)))
            .await
            .unwrap_err(),
    ] {
        assert!(!was_terminated(&error), "{error}");
    }
}

#[tokio::test]
async fn a_secret_that_a_program_says_is_struck_out_of_its_last_words() {
    crate::secret::redaction::know("hunter2-of-command");
    let error = sh("echo the password is hunter2-of-command >&2; exit 3", None)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "hook maintenance_on (`/bin/sh`) ended with exit code 3: the password is ***"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let error = run(
        &hook(&["/nonexistent/hook"], None),
        "after_publish",
        |_| {},
        &[],
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Hook);
    assert!(
        error
            .to_string()
            .contains("hook after_publish (`/nonexistent/hook`) cannot be started"),
        "{error}"
    );
}

#[test]
fn what_could_not_be_started_is_found_by_looking() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str, mode: u32| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let fine = put("fine", "#!/bin/sh\n", 0o755);
    let plain = put("plain", "#!/bin/sh\n", 0o644);
    let odd = put("odd", "#!/nonexistent/python4 -u\n", 0o755);
    let said = |program: &str| {
        let looked = look(
            &hook(&[program], None),
            "after_publish",
            Some(dir.path().as_os_str()),
        );
        looked.map_err(|error| error.to_string())
    };
    assert_eq!(said(&fine), Ok(()));
    assert_eq!(said("fine"), Ok(()), "found by PATH");
    for (program, why) in [
        ("/nonexistent/hook", "(`/nonexistent/hook`) is not there"),
        ("nonexistent", "(`nonexistent`) is in no directory of PATH"),
        (plain.as_str(), "may not be executed"),
        (odd.as_str(), "a script of `/nonexistent/python4`"),
        (dir.path().to_str().unwrap(), "is no file"),
    ] {
        let said = said(program).unwrap_err();
        assert!(
            said.contains(why) && said.contains("hook after_publish"),
            "{said}"
        );
    }
}

/// What is logged of a program's output, line by line.
async fn logged(script: &str) -> Vec<String> {
    use tracing_subscriber::layer::SubscriberExt as _;
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
        fn on_event(
            &self,
            event: &tracing::Event<'_>,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            struct Text(String);
            impl tracing::field::Visit for Text {
                fn record_debug(
                    &mut self,
                    field: &tracing::field::Field,
                    value: &dyn std::fmt::Debug,
                ) {
                    self.0 += &format!("{}={value:?} ", field.name());
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().push(text.0);
        }
    }
    // Who writes a line of the log for the first time, decides for all whether anybody wants it: if that is another test
    // meanwhile, which has no subscriber, nobody does. Once it was written, every new subscriber is asked.
    sh(script, None).await.unwrap();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    sh(script, None).await.unwrap();
    drop(guard);
    lines.0.lock().clone()
}

#[tokio::test]
async fn of_a_program_that_says_too_much_the_beginning_and_the_end_are_logged() {
    let lines = logged("i=0; while [ $i -lt 5000 ]; do echo word $i; i=$((i+1)); done").await;
    assert_eq!(lines.len(), LINES + 1 + TAIL);
    assert!(lines[0].contains("word 0"), "{}", lines[0]);
    assert!(
        lines[LINES].contains("lines=3980") && lines[LINES].contains("left out"),
        "{}",
        lines[LINES]
    );
    assert!(lines.last().unwrap().contains("word 4999"));
    // Few long lines fill a disk, too.
    let long = logged("head -c 3000000 /dev/zero | tr '\\0' x").await;
    let bytes: usize = long.iter().map(String::len).sum();
    assert!(bytes < BYTES + (TAIL + 4) * LINE * 2, "{bytes}");
    assert!(long.iter().any(|line| line.contains("left out")));
}

#[tokio::test]
async fn a_signal_is_named() {
    let error = sh("kill -9 $$", None).await.unwrap_err();
    assert!(
        error.to_string().ends_with("was ended by signal SIGKILL"),
        "{error}"
    );
}

#[tokio::test]
async fn a_timeout_ends_the_program_and_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let running = sh(&script, Some(Duration::from_secs(2)));
    let (error, grandchild) = tokio::join!(running, written(&file));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Hook);
    assert!(
        error
            .to_string()
            .contains("was stopped after its timeout of 2s"),
        "{error}"
    );
    gone(&grandchild).await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "trap '' TERM; echo $$ > {}; while :; do sleep 1; done",
        file.display()
    );
    let running = sh(&script, Some(Duration::from_secs(2)));
    let (error, child) = tokio::join!(running, written(&file));
    assert!(error.is_err());
    gone(&child).await;
}

#[tokio::test]
async fn cancelling_the_run_ends_its_hook() {
    let cancel = CancellationToken::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 600", file.display());
    let hook = hook(&["/bin/sh", "-c", &script], None);
    let running = run(&hook, "x", |_| {}, &[], Some(&cancel));
    let (error, child) = tokio::join!(running, async {
        let child = written(&file).await;
        cancel.cancel();
        child
    });
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("was stopped with the run")
    );
    assert!(!child.is_alive());
}

#[tokio::test]
async fn a_dropped_hook_takes_all_that_it_started_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let grandchild = tokio::select! {
        _ = sh(&script, None) => panic!("it ended by itself"),
        process = written(&file) => process,
    };
    gone(&grandchild).await;
}

#[tokio::test]
async fn what_a_hook_leaves_running_neither_holds_up_the_run_nor_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    sh(&format!("sleep 600 & echo $! > {}", file.display()), None)
        .await
        .unwrap();
    let left = written(&file).await;
    assert!(left.is_alive());
    nix::sys::signal::kill(
        Pid::from_raw(i32::try_from(left.pid).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
}
