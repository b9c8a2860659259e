//! What shells complete.

use super::*;

#[test]
fn each_shell_gets_completions_with_the_verbs_in_them() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = site.says(&["completions", shell]);
        assert!(
            said.contains("history") && said.contains("release"),
            "{shell}"
        );
    }
}

#[test]
fn zsh_completes_the_names_of_jobs_and_environments() {
    let site = Site::new();
    for job in ["accounts", "accounting", "web"] {
        std::fs::write(site.root.path().join(format!("jobs/{job}.toml")), "").unwrap();
    }
    begin(&site.state(), "0199-1", "app", &Process::own());
    let folder = site.root.path().join("completions");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("_envsyncd"), site.says(&["completions", "zsh"])).unwrap();
    let of_path = Path::new(BINARY).parent().unwrap();
    // A terminal of its own, in which TAB is pressed; what is offered goes into a file.
    let completed = |line: &str| -> Vec<String> {
        let offered = site.root.path().join("offered");
        let _ = std::fs::remove_file(&offered);
        let script = format!(
            r#"
            zmodload zsh/zpty
            zpty terminal zsh -f -i
            zpty -w terminal 'PATH={path}:$PATH; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D'
            zpty -w terminal 'compadd() {{ local -a offered; builtin compadd -O offered "$@"; print -l -- $offered >>{offered}; builtin compadd "$@" }}'
            zpty -w -n terminal '{line}'$'\t'
            for i in {{1..300}}; do
                [[ -s {offered} ]] && break
                sleep 0.1
            done
            zpty -d terminal
            "#,
            path = of_path.display(),
            folder = folder.display(),
            offered = offered.display(),
        );
        let mut zsh = Command::new("zsh");
        let of_site = site.command(&[]);
        for (key, value) in of_site.get_envs() {
            match value {
                Some(value) => zsh.env(key, value),
                None => zsh.env_remove(key),
            };
        }
        let output = zsh.args(["-f", "-c", &script]).output().unwrap();
        let found = std::fs::read_to_string(&offered);
        let found = found.unwrap_or_else(|_| panic!("{line}: {}", text(&output.stderr)));
        let mut found: Vec<String> = found.split_whitespace().map(str::to_owned).collect();
        found.sort();
        found
    };
    assert_eq!(completed("envsyncd show acc"), ["accounting", "accounts"]);
    assert_eq!(
        completed("envsyncd pause a"),
        ["accounting", "accounts", "app"]
    );
    assert_eq!(completed("envsyncd hold st"), ["staging"]);
}

#[test]
fn bash_completes_the_names_of_jobs_and_environments() {
    let site = Site::new();
    for job in ["accounts", "accounting", "web"] {
        std::fs::write(site.root.path().join(format!("jobs/{job}.toml")), "").unwrap();
    }
    begin(&site.state(), "0199-1", "app", &Process::own());
    let script = site.root.path().join("completions.bash");
    std::fs::write(&script, site.says(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| -> Vec<String> {
        let line = format!(
            "source {}; COMP_WORDS=({BINARY} {}); COMP_CWORD={}; _envsyncd_with_names {BINARY} {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words.len(),
            words[1],
            words[0]
        );
        let mut bash = Command::new("bash");
        let of_site = site.command(&[]);
        for (key, value) in of_site.get_envs() {
            match value {
                Some(value) => bash.env(key, value),
                None => bash.env_remove(key),
            };
        }
        let output = bash.args(["--norc", "-c", &line]).output().unwrap();
        text(&output.stdout).lines().map(str::to_owned).collect()
    };
    assert_eq!(completed(&["show", "acc"]), ["accounting", "accounts"]);
    assert_eq!(completed(&["logs", "a"]), ["accounting", "accounts", "app"]);
    assert_eq!(completed(&["hold", "st"]), ["staging"]);
    assert!(completed(&["show", "--js"]).contains(&"--json".to_owned()));
}
