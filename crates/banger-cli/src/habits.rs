//! What people type who know docker, podman, lima or kubectl and banger does not have, and what to use instead. A word
//! that is only mistyped gets a suggestion that is near, the only one, and harmless.

/// Commands of other tools.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["build", "buildx", "bake"],
        "banger does not build images; build with docker or podman, then `docker save app | banger image pull docker-archive:-`",
    ),
    (&["push"], "banger does not push images; use `banger image bundle` to write one to a file"),
    (
        &["save", "export"],
        "use `banger image bundle` to write an image to a file, or `banger cp` to copy files from a VM",
    ),
    (
        &["load", "import"],
        "use `banger image pull docker-archive:FILE`, or `banger kernel import` for a kernel",
    ),
    (&["commit", "checkpoint", "snapshot"], "banger does not snapshot VMs yet; a stopped VM keeps its disks"),
    (&["login", "logout"], "use `docker login` or `podman login`; banger reads ~/.docker/config.json"),
    (&["tag"], "use `banger image pull REFERENCE --name NAME` to choose the name of an image"),
    (&["rmi"], "use `banger image rm`"),
    (&["search"], "use `banger image list --all` for the catalog; registries are not searched"),
    (&["history", "manifest"], "use `banger image inspect`"),
    (
        &["attach", "enter", "console"],
        "use `banger exec VM` for a shell, or `banger logs -f VM` for the console",
    ),
    (
        &["diff", "wait", "rename"],
        "banger does not have this command; `banger vm --help` lists those for VMs",
    ),
    (
        &["pause", "unpause", "suspend", "resume", "save-state"],
        "VMs cannot be paused; use `banger stop` and `banger start`",
    ),
    (&["update", "edit", "resize", "scale"], "use `banger vm set` to resize a VM"),
    (&["network", "net"], "every VM has a network of its own; `banger inspect VM` shows its state"),
    (
        &["config"],
        "the configuration is `~/.config/banger/config.toml`, or `config/config.toml` below BANGER_HOME; the README lists its keys",
    ),
    (
        &["volume", "mount", "secret"],
        "directories of the host are not shared with VMs; use `banger cp` to copy files",
    ),
    (
        &["compose", "stack", "swarm", "service", "pod", "play", "kube", "machine"],
        "banger does not have this command; use `banger run -d` for each VM",
    ),
    (&["up", "launch"], "use `banger run -d`, or `banger start VM` for one that exists"),
    (&["down", "halt", "poweroff", "shutdown"], "use `banger stop VM`"),
    (&["reboot", "reset"], "use `banger restart VM`"),
    (&["destroy", "terminate", "purge", "undefine"], "use `banger vm delete VM`"),
    (
        &["system", "builder", "context"],
        "use `banger info` for the daemon, `banger df` for disk usage, or `banger vm prune` for stopped VMs",
    ),
    (&["container", "containers", "instance", "vms"], "use `banger vm`, as in `banger vm list`"),
    (&["get"], "use `banger ls` for VMs, `banger images` for images, or `banger inspect VM`"),
    (&["describe", "status", "cat"], "use `banger inspect VM`, or `banger info` for the daemon"),
    (
        &["apply", "expose", "port-forward"],
        "ports are not published yet; use `banger ssh VM -- -L 8080:localhost:80`",
    ),
    (&["copy", "scp", "rsync", "put", "push-file"], "use `banger cp`, as in `banger cp FILE VM:PATH`"),
    (&["sh", "bash", "connect"], "use `banger shell VM`"),
    (&["stat"], "use `banger stats`"),
    (&["upgrade", "self-update"], "install the new version; the daemon is replaced when its work has ended"),
    (&["init", "setup-host"], "nothing has to be initialized; `banger doctor` checks the host"),
];

/// Options of other tools, for commands whose name is in the list; `*` stands for all.
const OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (
        &["run", "create", "start"],
        &["-v", "--volume", "--mount", "--volumes-from", "--tmpfs"],
        "directories of the host are not shared with VMs; use `banger cp PATH VM:PATH` to copy them",
    ),
    (
        &["run", "create", "start"],
        &["-p", "-P", "--publish", "--publish-all", "--expose", "--port"],
        "ports are not published yet; use `banger ssh VM -- -L 8080:localhost:80`",
    ),
    (
        &["run", "create"],
        &[
            "--network",
            "--net",
            "--ip",
            "--dns",
            "--dns-search",
            "--add-host",
            "--link",
            "--mac-address",
            "--network-alias",
        ],
        "every VM has outbound network access, and nothing can be set about it",
    ),
    (
        &["run", "create", "exec", "shell"],
        &[
            "--privileged",
            "--cap-add",
            "--cap-drop",
            "--security-opt",
            "--device",
            "--userns",
            "--pid",
            "--ipc",
            "--uts",
            "--cgroupns",
        ],
        "a VM has a kernel of its own, and root in it may do everything; leave this option out",
    ),
    (
        &["run", "exec"],
        &["--detach-keys"],
        "use `--escape-keys`; they end the command, too, where those of docker let it run on",
    ),
    (&["run", "create"], &["--gpus", "--runtime", "--isolation"], "host devices are not passed to VMs"),
    (&["run", "create"], &["--restart"], "a VM stays stopped once it stops; use `banger start VM`"),
    (
        &["run", "create"],
        &["-l", "--label", "--label-file", "--annotation"],
        "VMs have no labels; use `--name`",
    ),
    (
        &["run", "create"],
        &["--platform", "--arch"],
        "VMs run on the architecture of the host; leave this option out",
    ),
    (
        &["run", "create"],
        &[
            "--memory-swap",
            "--memory-reservation",
            "--shm-size",
            "--ulimit",
            "--cpu-shares",
            "-c",
            "--cpuset-cpus",
            "--cpu-quota",
            "--pids-limit",
        ],
        "use `--memory` and `--cpus` to size a VM",
    ),
    (&["run", "create"], &["--disk", "--storage-opt", "--size"], "use `--disk-size`"),
    (
        &["run", "create"],
        &[
            "--init",
            "--read-only",
            "--log-driver",
            "--log-opt",
            "--stop-signal",
            "--stop-timeout",
            "--health-cmd",
            "--no-healthcheck",
            "--cidfile",
            "--group-add",
            "--sig-proxy",
            "-a",
            "--attach",
        ],
        "VMs do not have this option; `banger run --help` lists the others",
    ),
    (
        &["pull"],
        &["--platform", "--all-tags", "-a", "--disable-content-trust"],
        "images are pulled for the architecture of the host, a tag at a time",
    ),
    (
        &["logs", "log"],
        &["--tail", "-n", "--lines", "--since", "--until"],
        "the whole log is printed; use `banger logs VM | tail`",
    ),
    (
        &["logs", "log"],
        &["-t", "--timestamps"],
        "the log has no timestamps but those of the guest's kernel; leave this option out",
    ),
    (
        &["list", "ls", "ps", "show", "inspect", "images", "stats", "top"],
        &[
            "--format",
            "-o",
            "--output",
            "--filter",
            "--no-trunc",
            "-l",
            "--last",
            "--sort-by",
            "--size",
            "-s",
            "--type",
            "-A",
            "-w",
            "--wide",
            "--all-namespaces",
            "-f",
        ],
        "use `--json`, and `jq` to choose from it",
    ),
    (
        &["stats", "top", "port", "ports"],
        &["-a", "--all"],
        "all running VMs are shown; name some to see only those",
    ),
    (
        &["delete", "rm", "remove"],
        &["-v", "--volumes", "-l", "--link", "-y", "--yes"],
        "a VM is always deleted with its disks and without confirmation; leave this option out",
    ),
    (&["start"], &["-a", "--all"], "name the VMs, as in `banger ls -q | xargs banger start`"),
    (&["stop"], &["-a", "--all"], "name the VMs, as in `banger ls -q | xargs banger stop`"),
    (&["restart"], &["-a", "--all"], "name the VMs, as in `banger ls -q | xargs banger restart`"),
    (&["delete", "rm", "remove", "kill", "set", "touch"], &["-a", "--all"], "name the VMs"),
    (&["start"], &["-i", "--interactive", "--attach"], "use `banger exec VM` once it has started"),
    (
        &["cp"],
        &["-p", "--preserve", "--verbose", "-v"],
        "permissions and times are always kept; leave this option out",
    ),
    (&["cp"], &["-f", "--force"], "existing files are always replaced; leave this option out"),
    (&["restart", "stop"], &["-f", "--force"], "use `banger kill VM` to force a VM off"),
    (
        &["*"],
        &["-v", "--verbose", "--debug", "-D", "--log-level"],
        "there is no such option; `banger --version` prints the version, and `bangerd.log` has the daemon's log",
    ),
    (
        &["*"],
        &["-H", "--host", "--context", "--namespace", "--kubeconfig", "-c", "--config"],
        "the environment variable BANGER_HOME chooses the daemon and its configuration",
    ),
    (&["*"], &["-o", "--output", "--format"], "use `--json`, and `jq` to choose from it"),
];

/// Commands and options that lose something for good: never suggested. `stop` and `restart` are not among them: the guest
/// shuts down in order, its disks stay, and `start` undoes it.
const DESTRUCTIVE: &[&str] =
    &["delete", "rm", "remove", "kill", "prune", "cancel", "--force", "--rm", "--yes"];

/// Returns what to use instead of a command of another tool.
pub(crate) fn instead_of_command(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, instead)| *instead)
}

/// Returns what to use instead of an option of another tool.
pub(crate) fn instead_of_option(command: &str, option: &str) -> Option<&'static str> {
    let is_meant = |commands: &[&str]| commands.contains(&command) || commands == ["*"];
    let found = OPTIONS.iter().find(|(commands, options, _)| is_meant(commands) && options.contains(&option));
    found.map(|(_, _, instead)| *instead)
}

/// Returns the word that was meant, of these with the thing that each names: what is one slip of the finger away, if
/// that names one thing only. A word next to one that destroys something gets none.
pub(crate) fn meant<'a>(typed: &str, known: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    if typed.trim_start_matches('-').chars().count() < 3 {
        return None;
    }
    let mut near = known.filter(|(word, _)| is_one_slip(typed, word)).collect::<Vec<_>>();
    near.sort_unstable();
    let (word, thing) = *near.first()?;
    let is_one_thing = near.iter().all(|(_, other)| *other == thing);
    let destroys = near.iter().any(|(word, _)| DESTRUCTIVE.contains(word));
    let own = near.iter().find(|(word, thing)| word == thing).map_or(word, |(word, _)| word);
    (is_one_thing && !destroys).then_some(own)
}

/// Tells whether a word is one slip of the finger away from one that ends or removes something.
pub(crate) fn is_near_destructive(typed: &str) -> bool {
    DESTRUCTIVE.iter().any(|word| is_one_slip(typed, word))
}

/// Tells whether a character was left out, put in, replaced, or swapped with its neighbour.
fn is_one_slip(typed: &str, word: &str) -> bool {
    let (typed, word): (Vec<char>, Vec<char>) = (typed.chars().collect(), word.chars().collect());
    let start = typed.iter().zip(&word).take_while(|(one, other)| one == other).count();
    let (typed, word) = (typed.get(start..).unwrap_or_default(), word.get(start..).unwrap_or_default());
    match (typed, word) {
        ([], [_]) | ([_], []) => true,
        ([a, b, typed @ ..], [c, d, word @ ..]) if a == d && b == c && typed == word => true,
        ([_, typed @ ..], [_, word @ ..]) if typed == word => true,
        ([_, typed @ ..], word) if typed == word => true,
        (typed, [_, word @ ..]) if typed == word => true,
        _ => false,
    }
}

#[cfg(test)]
#[path = "habits_tests.rs"]
mod tests;
