//! `completions SHELL`, and the names that it completes

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use super::options::Options;
use super::terminal;
use crate::config;
use crate::control::jobs;
use crate::error::Result;
use crate::state::State;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd completions bash > /etc/bash_completion.d/envsyncd\n  envsyncd completions fish > ~/.config/fish/completions/envsyncd.fish\n\nbash, fish and zsh also complete the names of jobs and environments"
)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Print names, one per line, for completions
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  envsyncd names jobs")]
pub(super) struct NamesArgs {
    /// Which names to print
    of: Named,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Named {
    Jobs,
    Environments,
}

/// The verbs whose first word is such a name.
const OF_JOBS: &str = "status history show logs check trigger cancel pause resume";
const OF_ENVIRONMENTS: &str = "hold release";

/// `command` is this whole command line.
pub(super) fn main(args: &Args, mut command: Command) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "envsyncd", &mut text);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    match args.shell {
        Shell::Bash => text.push_str(&bash()),
        Shell::Fish => text.push_str(&fish()),
        Shell::Zsh => text = zsh(&text),
        _ => {}
    }
    terminal::print(&text)?;
    Ok(0)
}

/// Around the function that clap writes.
fn bash() -> String {
    let (jobs, environments) = (OF_JOBS.replace(' ', "|"), OF_ENVIRONMENTS.replace(' ', "|"));
    format!(
        r#"
_envsyncd_with_names() {{
    _envsyncd "$@"
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" names=""
    [[ $COMP_CWORD -lt 2 || $word == -* || $before == -* ]] && return 0
    case "${{COMP_WORDS[1]}}" in
        {jobs}) names=jobs ;;
        {environments}) names=environments ;;
        *) return 0 ;;
    esac
    COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" names "$names" 2>/dev/null)" -- "$word"))
}}
complete -F _envsyncd_with_names -o bashdefault -o default envsyncd
"#
    )
}

fn fish() -> String {
    let line = |verbs: &str, names: &str| {
        format!(
            "complete -c envsyncd -f -n \"__fish_seen_subcommand_from {verbs}\" -a \"(envsyncd names {names} 2>/dev/null)\"\n"
        )
    };
    line(OF_JOBS, "jobs") + &line(OF_ENVIRONMENTS, "environments")
}

/// In what clap writes, an argument that it knows nothing of is completed by `_default`: a line such as
/// `':job -- The job:_default'`.
fn zsh(generated: &str) -> String {
    const LISTER: &str = r#"_envsyncd_names() {
    local expl
    local -a names
    names=(${(f)"$(envsyncd names $1 2>/dev/null)"})
    _wanted names expl $1 compadd -a names
}

"#;
    let mut text = String::with_capacity(generated.len() + LISTER.len());
    for line in generated.lines() {
        // All functions stand before it.
        if line.starts_with("if [ \"$funcstack[1]\"") {
            text.push_str(LISTER);
        }
        let argument = line
            .trim_start_matches(['\'', ':', '*'])
            .split(" -- ")
            .next();
        let names = match argument {
            Some("job" | "jobs" | "run") => "jobs",
            Some("environment") => "environments",
            _ => "",
        };
        match line.rsplit_once(":_default'") {
            // A blank in front: the words are called as they stand.
            Some((before, after)) if !names.is_empty() => {
                text.push_str(&format!("{before}: _envsyncd_names {names}'{after}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// What is wrong with files is none of a completion's business.
pub(super) fn names(options: &Options, args: &NamesArgs) -> Result<u8> {
    let Ok((settings, _)) = config::load_settings(
        options.config.as_deref(),
        config::environment(),
        crate::store::registry::formats(),
    ) else {
        return Ok(0);
    };
    let state = State::open_if_there(&settings.state_dir).unwrap_or_default();
    let mut names = match args.of {
        Named::Jobs => jobs::known_jobs(&settings, state.as_ref())?,
        Named::Environments => {
            let mut names: Vec<String> = (settings.environments.names())
                .map(|name| name.as_str().to_owned())
                .collect();
            names.extend(
                state
                    .map(|state| state.environments())
                    .transpose()?
                    .unwrap_or_default(),
            );
            names
        }
    };
    names.sort();
    names.dedup();
    terminal::print(
        &names
            .iter()
            .map(|name| name.clone() + "\n")
            .collect::<String>(),
    )?;
    Ok(0)
}
